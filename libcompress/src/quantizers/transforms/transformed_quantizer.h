#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

// The transforms of a method string, each with its plus: "scale+rotate:block=64+"; empty without any.
std::string name(const TransformOptions& options);

// Any quantizer in another basis: transforms the weight and its statistics (layer_transform.h), calls `inner`, and
// wraps the result so that it decodes to the weight in its own basis. The Hessian and the mean of the inputs become
// those of the transformed inputs; their absolute maximum is passed on scaled, and not at all when they are rotated.
//
// With scale.alpha absent, each alpha of the grid is tried with `inner` itself and the one of least
// tr((W - W^) H (W - W^)^T) is kept (the first of equals): the cost of `inner` and of a proxy error, for each. The
// published search rounds to nearest whatever comes later.
//
// SmolLM2-135M (12 linear layers of blocks 1, 10 and 20, geometric means of the proxy error, relative): rtn at 3 bits,
// group 64: 0.0382, rotated 0.0358, scaled (5 alphas) 0.0208, both 0.0159; gptq at 3 bits, act_order: 0.00794, rotated
// 0.00768; gptq at 2 bits, group 128: 0.0900, rotated 0.0567. Each transform costs 0.0015 (inputs rotated), 0.0029
// (outputs too), 0.023 (scaled) bits a weight there. paley and rotated outputs made little difference.
//
// Name: "scale+rotate:block=64+gptq:bits=2,...". Deterministic as `inner` is.
class TransformedQuantizer : public Quantizer {
 public:
  // inner: not a TransformedQuantizer. Throws Error for options out of range.
  TransformedQuantizer(const TransformOptions& options, std::unique_ptr<Quantizer> inner);

  // Throws Error naming `component`: as input_scales() when there is a scale; NaN or infinity in the weight, with row
  // and column; and what `inner` throws, whose rows and columns are those of the transformed weight.
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override;
  // What `inner` does without statistics, rotated; input scales are 1.
  QuantizedWeight quantize_without_statistics(ConstMatrixView weight, const std::string& component) const override;
  bool uses_statistics() const override { return options_.scale.has_value() || inner_->uses_statistics(); }
  bool requires_statistics() const override { return options_.scale.has_value() || inner_->requires_statistics(); }
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override;
  std::string name() const override;

 private:
  QuantizedWeight quantize_transformed(ConstMatrixView weight, const LayerStats& stats, const LayerTransform& transform,
                                       const std::string& component) const;

  TransformOptions options_;
  std::unique_ptr<Quantizer> inner_;
};

}  // namespace lcomp
