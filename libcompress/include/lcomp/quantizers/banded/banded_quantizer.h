#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/quantizers/cost/second_order_cost.h"
#include "lcomp/quantizers/feedback/hessian_factor.h"
#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"
#include "lcomp/quantizers/uniform/uniform_grid.h"

namespace lcomp {

// Throws Error naming `where` for options out of range.
void check_banded(const BandedOptions& options, const std::string& where);
std::string name(const BandedOptions& options);  // the method string

// The widths of a weight's bands, and what they come to.
struct BandProfile {
  std::vector<std::uint8_t> band_bits;  // falling
  std::uint64_t bytes = 0;              // payload, everything counted
  double cost = 0;                      // expected, to second order
};

// What is known of a weight before widths are chosen: the order of its columns, and what each band costs at each width.
// Columns are sorted by H_jj sum_i rho_i w_ij^2, what it would cost to leave one out. With R the root of the Hessian in
// that order (hessian_factor.h) and rho_i the share of row i in the cost, the cost of a weight is, with feedback,
//   1/2 sum_j R_jj^2 sum_i rho_i e_ij^2
// e_ij the error of weight ij at the time when it is rounded. A band's share of that is measured with all bands at 1,
// 2, 3 and 4 bits, on at most 512 rows; wider ones cost less as their steps are smaller. Bands without bits are the
// last ones, and together cost 1/2 sum_i rho_i w_i G w_i^T, G the Hessian of their columns, for which the others make
// up. Levels that leave a share D of a band's cost without bits are the weights times 1 - D and noise, so that D^2 of
// that cost comes from shrinking: a cost counts 1 + (shrinkage_weight - 1) D times. Sensitivities, embeddings and the
// plain Hessian as in RateCodedProblem.
class BandedProblem {
 public:
  // Keeps a view of `weight`. stats: null where nothing is known; all errors then cost the same. measured: whether
  // costs are found out; without there are no profiles. Throws as quantize() below.
  BandedProblem(ConstMatrixView weight, const LayerStats* stats, const BandedOptions& options,
                const std::string& component, bool measured = true);

  // The choices: widths of least cost for their bytes (the lower convex hull over all falling widths; with
  // equal_widths one profile for each width), ascending in bytes and falling in cost, the first without any bits.
  // precision_offset is counted, min_bits and max_bits are not.
  const std::vector<BandProfile>& profiles() const { return profiles_; }
  // The last profile of at most so many bytes, and what fits of further bits where they gain most (not with
  // equal_widths). Throws Error where the first profile is larger.
  BandProfile profile_of(double bytes) const;

  // One of the profiles' widths, or any others. Rounds with feedback.
  BandedIntegerWeight quantize(std::span<const std::uint8_t> band_bits) const;

 private:
  struct Kept {
    Matrix weight;
    const HessianFactor* factor = nullptr;
    std::unique_ptr<HessianFactor> own;
    std::vector<float> column_costs;  // R_jj^2
  };
  void put_in_order();
  void find_costs();
  void take_sample();
  Kept keep(ConstMatrixView ordered, std::size_t kept) const;
  std::optional<std::vector<double>> measure(const std::vector<std::uint8_t>& band_bits) const;
  double weighed(std::size_t band, double cost) const;
  void find_profiles();
  void correct_costs(std::vector<BandProfile>& profiles) const;
  double cost_unit() const;
  BandProfile filled_up(BandProfile start, double bytes) const;
  BandProfile profile(std::vector<std::uint8_t> band_bits) const;
  std::vector<std::uint8_t> best_widths(double price) const;

  ConstMatrixView weight_;
  BandedOptions options_;
  std::string component_;
  bool irrelevant_ = false;
  double unit_ = 1;
  std::vector<double> row_shares_;
  std::vector<std::uint32_t> order_;  // the columns that the stored ones are
  // All in stored order:
  Matrix ordered_;  // the weight
  Matrix sample_;   // some of its rows
  std::vector<double> sample_shares_;
  Matrix hessian_;
  HessianFactor factor_;
  std::vector<double> without_;             // [bands], what it costs to leave a band out
  std::vector<std::vector<double>> costs_;  // [bands][0 .. 8], weighed
  std::vector<BandProfile> profiles_;
};

// The weight rounded to the widths, the order and the kind of grid of `like`, without feedback: grids are fitted anew.
// For training with fixed widths.
BandedIntegerWeight round_to_bands(ConstMatrixView weight, const BandedIntegerView& like, GridFit fit,
                                   const std::string& component);

// Banded weights: uniform integers with a width of 0 to 8 bits for each band of 32 columns, for kernels that want fixed
// widths; GPTQ's feedback. DESIGN.md, decision 7.
//
// Name: banded:bits=3.2,asym, then grid, equal_widths, plain, embedding_weight, shrinkage_weight, damping, offset,
// min_bits, max_bits where they differ from the defaults. The payload is at most `bits` a weight.
//
// Cost: GPTQ's, and ten times that of 512 rows to find out what widths cost.
class BandedQuantizer : public Quantizer {
 public:
  // widths: those that `bits` comes to for the one component that it will be used for, where they are known; empty:
  // they are found each time. Throws Error for options out of range, or without bits.
  explicit BandedQuantizer(const BandedOptions& options, std::vector<std::uint8_t> widths = {});

  // Throws Error naming `component`: neither sensitivity nor Hessian in `stats`; one of another size or not finite; a
  // Hessian that stays singular; NaN or infinity in the weight; fewer bits than a weight of zeros takes; a scale that
  // overflows.
  CompressedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                            const std::string& component) const override;
  // Widths by the weights alone.
  CompressedWeight quantize_without_statistics(ConstMatrixView weight, const std::string& component) const override;
  std::optional<std::uint64_t> predicted_bytes(std::size_t rows, std::size_t cols) const override;  // nothing
  bool uses_statistics() const override { return true; }
  std::string name() const override;

 private:
  CompressedWeight quantize(ConstMatrixView weight, const LayerStats* stats, const std::string& component) const;

  BandedOptions options_;
  std::vector<std::uint8_t> widths_;
};

}  // namespace lcomp
