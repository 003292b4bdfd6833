#pragma once

#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

std::string name(const DenseOptions& options);  // the method string

// Keeps the weights as plain values: the baseline that every table has. Names: "f16", "bf16", "f32".
class DenseQuantizer : public Quantizer {
 public:
  explicit DenseQuantizer(DenseType type) : type_(type) {}

  // Throws Error naming `component`, row and column for NaN, infinity, and values that the type can't hold.
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override;
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override;
  bool uses_statistics() const override { return false; }
  std::string name() const override;

 private:
  DenseType type_;
};

}  // namespace lcomp
