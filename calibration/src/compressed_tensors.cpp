#include "compressed_tensors.h"

#include <utility>

#include "lcomp/formats/format.h"

namespace lcomp {

CompressedTensors::CompressedTensors(std::shared_ptr<const TensorSource> original) : original_(std::move(original)) {}

void CompressedTensors::replace(const std::string& tensor, CompressedWeight weight) {
  replaced_.insert_or_assign(tensor, std::move(weight));
}

void CompressedTensors::restore(const std::string& tensor) { replaced_.erase(tensor); }

const std::string& CompressedTensors::where() const { return original_->where(); }

const std::vector<TensorInfo>& CompressedTensors::tensors() const { return original_->tensors(); }

void CompressedTensors::read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                                  std::span<float> out) const {
  const auto found = replaced_.find(name);
  if (found == replaced_.end()) return original_->read_rows(name, row_begin, row_count, out);
  decode_rows(view(found->second), row_begin, row_count, out);
}

}  // namespace lcomp
