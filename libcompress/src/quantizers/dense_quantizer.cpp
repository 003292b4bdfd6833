#include "quantizers/dense_quantizer.h"

#include "lcomp/formats/dense.h"

namespace lcomp {

QuantizedWeight DenseQuantizer::quantize(ConstMatrixView weight, const LayerStats& /*stats*/,
                                         const std::string& component) const {
  return encode_dense(weight, type_, component);
}

std::optional<WeightLayout> DenseQuantizer::layout(std::size_t rows, std::size_t cols) const {
  return DenseLayout{rows, cols, type_};
}

std::string DenseQuantizer::name() const { return lcomp::name(DenseOptions{type_}); }

std::string name(const DenseOptions& options) { return std::string(name(options.type)); }

}  // namespace lcomp
