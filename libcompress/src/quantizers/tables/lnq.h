#pragma once

#include <cstddef>
#include <string>

#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

std::string name(const LnqOptions& options);  // the method string

// LNQ, layer-wise non-uniform quantization: a codebook of 2^bits levels per row, codes and levels found by turns for
// the proxy error under the whole Hessian, damped (alternating_levels.h). Starts from k-means weighed by R_jj^2 with
// codes chosen by GPTQ's loop: method codebook with error compensation. Source: arXiv 2505.07004, section 4; it
// starts from SqueezeLLM's k-means without error compensation.
//
// Name: "lnq:bits=3", then "alternations=8", "cycles=2", "act_order=false", "damping=0.05" where they differ from the
// defaults. The result does not depend on the number of threads; error_feedback.h says what differs between machines.
//
// Cost: rows * cols^2 * (1 + alternations * (2 cycles + 5)) operations in float32, most of them in matrix products, and
// those of the start; memory 8 cols^2 bytes and the weight's ranks, and, a thread, 2 KB for each column.
class LnqQuantizer : public Quantizer {
 public:
  explicit LnqQuantizer(const LnqOptions& options);  // throws Error for options out of range

  // Throws Error naming `component`: no Hessian in `stats`, or one of another size, not finite, or singular whatever
  // the damping; NaN or infinity in the weight (naming row and column); levels that overflow f16. Where calibration saw
  // no token it is k-means alone, and a warning says so.
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override;
  QuantizedWeight quantize_without_statistics(ConstMatrixView weight, const std::string& component) const override;
  bool uses_statistics() const override { return true; }
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override;
  std::string name() const override;

 private:
  LnqOptions options_;
};

}  // namespace lcomp
