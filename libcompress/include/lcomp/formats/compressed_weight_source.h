#pragma once

#include <string_view>

#include "lcomp/formats/compressed_weight.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// A source of tensors that are stored in one of the formats. Besides float32 values it gives the stored form, for
// products on the codes themselves (kernels/integer_matmul.h).
class CompressedWeightSource : public TensorSource {
 public:
  // The stored form of a tensor; its bytes are valid while this object lives. Throws Error for an unknown name.
  // Thread-safe.
  virtual const CompressedWeightView& weight(std::string_view name) const = 0;
};

}  // namespace lcomp
