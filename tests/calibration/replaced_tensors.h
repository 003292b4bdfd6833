#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lcomp/io/tensor_source.h"
#include "lcomp/models/model_folder.h"

namespace lcomp::testing {

// A model's tensors with some of them replaced: what compression gives the forward pass.
class ReplacedTensors : public TensorSource {
 public:
  explicit ReplacedTensors(std::shared_ptr<const TensorSource> original) : original_(std::move(original)) {}

  void replace(const std::string& name, Matrix values) { replaced_[name] = std::move(values); }
  const std::string& where() const override { return original_->where(); }
  const std::vector<TensorInfo>& tensors() const override { return original_->tensors(); }
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override {
    const auto found = replaced_.find(std::string(name));
    if (found == replaced_.end()) return original_->read_rows(name, row_begin, row_count, out);
    const auto rows = found->second.view().rows_range(row_begin, row_count);
    std::copy_n(rows.data(), rows.size(), out.data());
  }

 private:
  std::shared_ptr<const TensorSource> original_;
  std::map<std::string, Matrix> replaced_;
};

// The weight of a component, every value multiplied by `factor`.
inline Matrix scaled_weight(const ModelFolder& model, const std::string& component, float factor) {
  Matrix weight = model.tensors->read(component + ".weight");
  for (float& v : weight.span()) v *= factor;
  return weight;
}

}  // namespace lcomp::testing
