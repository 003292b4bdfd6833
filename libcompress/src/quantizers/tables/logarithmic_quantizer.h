#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

std::string name(const LogarithmicOptions& options);  // the method string

// How a weight of this shape is stored under these options, whose bits are set.
LogarithmicLayout layout_of(const LogarithmicOptions& options, std::size_t rows, std::size_t cols);

// Logarithmic levels: each weight becomes a signed power of a base (2, sqrt 2, any), times a scale per group:
//   w^ = scale * sign * base^-k,  0 <= k < 2^(bits-1)      (lcomp/formats/logarithmic.h)
// Scales are found by a search for the least squared error (scaled_table.h), columns weighed by the diagonal of H where
// the statistics have one, with error compensation by R_jj^2 (hessian_factor.h). A fitted base is the one of least such
// error over at most 128 groups (fewer where they are large), spread evenly over the weight: the best of 17 from 1.01
// to 4, evenly spaced in log log, and then by bisection.
//
// Name: "log:bits=4,group=64,base=2", with base=sqrt2 or base=fit; then "zero", "scales=u8", "feedback", "act_order",
// "static_groups", "damping=0.05", "block_size=64" where they differ from the defaults. The result does not depend on
// the number of threads. About 100 levels * log(group_size) operations a group; error compensation as in
// error_feedback.h.
class LogarithmicQuantizer : public Quantizer {
 public:
  explicit LogarithmicQuantizer(const LogarithmicOptions& options);  // throws Error for options out of range

  // Throws Error naming `component`: NaN or infinity in the weight (naming row and column); a scale that overflows its
  // storage; a Hessian of another size or not finite; with error compensation, no Hessian.
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override;
  QuantizedWeight quantize_without_statistics(ConstMatrixView weight, const std::string& component) const override;
  bool uses_statistics() const override { return true; }
  bool requires_statistics() const override { return options_.feedback.enabled; }
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override;
  std::string name() const override;

 private:
  LogarithmicOptions options_;
};

}  // namespace lcomp
