#include "lcomp/quantizers/dense_quantizer.h"

#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"

namespace lcomp {

CompressedWeight DenseQuantizer::quantize(ConstMatrixView weight, const LayerStats& /*stats*/,
                                          const std::string& component) const {
  return encode_dense(weight, type_, component);
}

std::optional<std::uint64_t> DenseQuantizer::predicted_bytes(std::size_t rows, std::size_t cols) const {
  return payload_bytes(DenseLayout{rows, cols, type_});
}

std::string DenseQuantizer::name() const { return lcomp::name(DenseOptions{type_}); }

std::string name(const DenseOptions& options) { return std::string(name(options.type)); }

}  // namespace lcomp
