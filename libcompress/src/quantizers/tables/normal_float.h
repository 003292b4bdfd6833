#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

// The levels of NF-k, 2^bits of them, ascending from -1 to 1: quantiles of the normal distribution, 2^(bits-1) positive
// ones, 0, and 2^(bits-1) - 1 negative ones. With offset = 1 - (1 / 2^(bits+1) + 1 / (2^(bits+1) - 2)) / 2 they are
//   Phi^-1(p) / Phi^-1(offset),    p evenly spaced from offset (included) to 1/2 (not included)
// and the same for the negative ones. For 4 bits the published NF4, to float32 rounding. One bit has the levels -1 and
// 1. Source: arXiv 2305.14314, appendix E, and its reference code.
std::vector<float> normal_float_levels(int bits);

std::string name(const NormalFloatOptions& options);  // the method string
// Whether the search for scales or error compensation makes use of statistics.
bool uses_statistics(const NormalFloatOptions& options);

// How a weight of this shape is stored under these options, whose bits are set.
CodebookLayout layout_of(const NormalFloatOptions& options, std::size_t rows, std::size_t cols);

// NF-k: weights as levels that are quantiles of the normal distribution, times a scale per group. Stored as a shared
// codebook, so that levels are rounded to f16 first. The search for scales (mse) weighs columns by the diagonal of H
// where the statistics have one; with error compensation by R_jj^2 (hessian_factor.h).
//
// Name: "nf:bits=4,group=64", then "grid=mse", "scales=u8", "feedback", "act_order", "static_groups", "damping=0.05",
// "block_size=64" where they differ from the defaults. The result does not depend on the number of threads. O(rows *
// cols) for absmax, about 100 times that for mse; error compensation as in error_feedback.h.
class NormalFloatQuantizer : public Quantizer {
 public:
  explicit NormalFloatQuantizer(const NormalFloatOptions& options);  // throws Error for options out of range

  // Throws Error naming `component`: NaN or infinity in the weight (naming row and column); a scale that overflows its
  // storage; a Hessian of another size or not finite; with error compensation, no Hessian.
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override;
  QuantizedWeight quantize_without_statistics(ConstMatrixView weight, const std::string& component) const override;
  bool uses_statistics() const override { return lcomp::uses_statistics(options_); }
  bool requires_statistics() const override { return options_.feedback.enabled; }
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override;
  std::string name() const override;

 private:
  NormalFloatOptions options_;
};

}  // namespace lcomp
