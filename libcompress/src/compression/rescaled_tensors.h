#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lcomp/formats/compressed_weight.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// What a tensor w_ij, seen as a matrix, is multiplied by: rows[i] w_ij columns[j].
struct TensorFactors {
  std::vector<float> rows;          // [rows]; empty: 1
  std::vector<float> columns;       // [cols]; empty: 1
  bool plus_one = false;            // of a gain g that stands for 1 + g: g' = rows (1 + g) - 1
  DenseType type = DenseType::f32;  // that results are rounded to
};

// A model's tensors, some of them multiplied by factors.
class RescaledTensors : public TensorSource {
 public:
  RescaledTensors(std::shared_ptr<const TensorSource> original,
                  std::map<std::string, TensorFactors, std::less<>> factors)
      : original_(std::move(original)), factors_(std::move(factors)) {}

  const std::string& where() const override { return original_->where(); }
  const std::vector<TensorInfo>& tensors() const override { return original_->tensors(); }
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override;

 private:
  std::shared_ptr<const TensorSource> original_;
  std::map<std::string, TensorFactors, std::less<>> factors_;
};

}  // namespace lcomp
