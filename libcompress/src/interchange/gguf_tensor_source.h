#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lcomp/interchange/gguf.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// Where a Hugging Face tensor is in a GGUF file, and how it differs there.
struct GgufOrigin {
  std::string gguf_name;
  std::vector<std::size_t> shape;
  std::size_t value_begin = 0;  // of the stored tensor's values: where a part of a fused or stacked tensor begins
  std::size_t heads = 0;        // not 0: rows are interleaved within each of so many heads
  bool plus_one = false;        // the file holds 1 + w
};

// The tensors of a GGUF file under Hugging Face names, decoded when they are read.
class GgufTensorSource : public TensorSource {
 public:
  GgufTensorSource(std::shared_ptr<const GgufFile> file, const std::map<std::string, GgufOrigin>& origins);

  const std::string& where() const override { return file_->where(); }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override;

 private:
  void read_interleaved(const GgufOrigin& origin, const TensorInfo& tensor, std::size_t row_begin,
                        std::size_t row_count, std::span<float> out) const;

  std::shared_ptr<const GgufFile> file_;
  std::vector<TensorInfo> infos_;    // sorted by name
  std::vector<GgufOrigin> origins_;  // of infos_[i]
};

}  // namespace lcomp
