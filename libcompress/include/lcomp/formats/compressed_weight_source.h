#pragma once

#include <string_view>

#include "lcomp/formats/compressed_weight.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// Tensors that are stored in one of the formats: besides their values as float32, what they are stored as can be had,
// for products on the codes themselves (kernels/integer_matmul.h).
class CompressedWeightSource : public TensorSource {
 public:
  // Bytes stay where they are as long as this object lives. Throws Error for an unknown name. Thread-safe.
  virtual const CompressedWeightView& weight(std::string_view name) const = 0;
};

}  // namespace lcomp
