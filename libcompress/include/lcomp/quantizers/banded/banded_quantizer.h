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

// The bit widths of a weight's bands, with the bytes and the cost that they come to.
struct BandProfile {
  std::vector<std::uint8_t> band_bits;  // [bands], not increasing
  std::uint64_t bytes = 0;              // payload, everything counted
  double cost = 0;                      // expected, to second order
};

// The order of a weight's columns, and the cost of each band of columns at each bit width, found before widths are
// chosen. Columns are sorted by H_jj sum_i rho_i w_ij^2, the cost of leaving one out.
//
// With R the root of the Hessian in that order (hessian_factor.h) and rho_i the importance of row i, the cost with
// error compensation is
//   1/2 sum_j R_jj^2 sum_i rho_i e_ij^2,   e_ij = error of weight ij when it is rounded
// - A band's part of it is measured with all bands at 1, 2, 3 and 4 bits, on at most 512 rows; at more bits it falls
//   with the square of the step.
// - Bands of 0 bits are the last ones. Together they cost 1/2 sum_i rho_i w_i G w_i^T, G the Hessian of their columns
//   after the other columns have compensated.
// - Levels whose cost is a fraction D of that at 0 bits are the weights times 1 - D and noise, so that D^2 of it comes
//   from shrinking: a cost counts 1 + (shrinkage_weight - 1) D times.
// Sensitivities, embeddings and the plain Hessian enter as in RateCodedProblem.
class BandedProblem {
 public:
  // Keeps a view of `weight`. stats: null where nothing is known, all errors then cost the same. measured: false where
  // only quantize() is needed; there are then no profiles. Throws as BandedQuantizer::quantize().
  BandedProblem(ConstMatrixView weight, const LayerStats* stats, const BandedOptions& options,
                const std::string& component, bool measured = true);

  // The choices: widths of least cost for their bytes, ascending in bytes and falling in cost, the first without any
  // bits. They are the lower convex hull over all non-increasing widths; with equal_widths one profile for each width.
  // precision_offset is counted, min_bits and max_bits are not.
  const std::vector<BandProfile>& profiles() const { return profiles_; }
  // The last profile of at most so many bytes. Without equal_widths, bands then get further bits where these gain most,
  // as long as they fit. Throws Error where the first profile is larger.
  BandProfile profile_of(double bytes) const;

  // What the user should know.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // Rounds to any non-increasing widths, with error compensation. band_bits: [bands].
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
  std::vector<std::string> warnings_;
  double unit_ = 1;
  std::vector<double> row_importance_;
  std::vector<std::uint32_t> order_;  // the columns that the stored ones are
  // All in stored order:
  Matrix ordered_;  // the weight
  Matrix sample_;   // some of its rows
  std::vector<double> sample_importance_;
  Matrix hessian_;
  HessianFactor factor_;
  std::vector<double> without_;             // [bands], what it costs to leave a band out
  std::vector<std::vector<double>> costs_;  // [bands][0 .. 8], weighed
  std::vector<BandProfile> profiles_;
};

// The weight rounded to the widths, the order and the kind of grid of `like`, with grids fitted anew and without error
// compensation.
// For training with fixed widths.
BandedIntegerWeight round_to_bands(ConstMatrixView weight, const BandedIntegerView& like, GridFit fit,
                                   const std::string& component);

// Banded weights: uniform integers with a width of 0 to 8 bits for each band of 32 columns, for kernels that want fixed
// widths; with error compensation as in GPTQ.
//
// Name: banded:bits=3.2,asym, then grid, equal_widths, plain, embedding_weight, shrinkage_weight, damping, offset,
// min_bits, max_bits where they differ from the defaults. The payload is at most `bits` a weight.
//
// Cost: that of GPTQ, and ten times that of GPTQ on 512 rows to measure the cost of widths.
class BandedQuantizer : public Quantizer {
 public:
  // widths: the bit widths of the bands, where they are known for the one component that it is made for; empty: found
  // from `bits` each time. Throws Error for options out of range, or without bits.
  explicit BandedQuantizer(const BandedOptions& options, std::vector<std::uint8_t> widths = {});

  // Throws Error naming `component`: neither sensitivity nor Hessian in `stats`; one of another size or not finite; a
  // Hessian that stays singular; NaN or infinity in the weight; fewer bits than a weight of zeros takes; a scale that
  // overflows.
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override;
  // Widths by the weights alone.
  QuantizedWeight quantize_without_statistics(ConstMatrixView weight, const std::string& component) const override;
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override;  // nothing
  bool uses_statistics() const override { return true; }
  std::string name() const override;

 private:
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats* stats, const std::string& component) const;

  BandedOptions options_;
  std::vector<std::uint8_t> widths_;
};

}  // namespace lcomp
