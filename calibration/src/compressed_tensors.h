#pragma once

#include <map>
#include <memory>
#include <string>

#include "lcomp/formats/compressed_weight.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// A model's tensors, some of them replaced by what they were compressed to.
class CompressedTensors : public TensorSource {
 public:
  explicit CompressedTensors(std::shared_ptr<const TensorSource> original);

  void replace(const std::string& tensor, CompressedWeight weight);
  void restore(const std::string& tensor);  // the original's again; its memory is free

  const std::string& where() const override;
  const std::vector<TensorInfo>& tensors() const override;
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override;

 private:
  std::shared_ptr<const TensorSource> original_;
  std::map<std::string, CompressedWeight, std::less<>> replaced_;
};

}  // namespace lcomp
