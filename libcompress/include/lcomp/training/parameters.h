#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/core/rng.h"
#include "lcomp/io/tensor_source.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Tensors in float32 that can be written: weights in training, and in the same layout their gradients and moments. All
// lie in one stretch of memory, in the order of their names, so that an optimizer sees one vector. Reading is
// thread-safe while nobody writes.
class Parameters : public TensorSource {
 public:
  // All zero. `where` names them in errors. Throws Error for a name given twice and for sizes that overflow.
  Parameters(std::string where, std::vector<TensorInfo> tensors);

  const std::string& where() const override { return where_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override;

  std::span<float> values() { return values_.span(); }
  std::span<const float> values() const { return values_.span(); }
  // One tensor's. Throws Error when absent.
  std::span<float> values(std::string_view name);
  std::span<const float> values(std::string_view name) const;
  // Of tensor i of tensors(), in values().
  std::size_t offset(std::size_t i) const { return offsets_[i]; }
  void fill(float value);

 private:
  std::size_t index(std::string_view name) const;

  std::string where_;
  std::vector<TensorInfo> tensors_;   // sorted by name
  std::vector<std::size_t> offsets_;  // [tensors]
  AlignedBuffer<float> values_;
};

// A copy of all tensors that the model's decoder uses.
std::shared_ptr<Parameters> copy_parameters(const ModelFolder& model);

// Weights to begin with, for tensors of required_tensors(): matrices normal(0, deviation), those of
// residual_projections() deviation / sqrt(2 layers) (GPT-2), gains of norms 1 (0 where the norm multiplies by 1 +
// gain), biases 0. A tensor's values depend on the seed and its name alone.
void initialize_parameters(Parameters& parameters, const ModelFolder& model, double deviation, const Rng& rng);

}  // namespace lcomp
