#include "compression/rescaled_tensors.h"

#include "lcomp/formats/dense.h"

namespace lcomp {

void RescaledTensors::read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                                std::span<float> out) const {
  original_->read_rows(name, row_begin, row_count, out);
  const auto found = factors_.find(name);
  if (found == factors_.end()) return;
  const TensorFactors& factors = found->second;
  const std::size_t cols = row_count == 0 ? 0 : out.size() / row_count;
  for (std::size_t i = 0; i < row_count; ++i) {
    const float of_row = factors.rows.empty() ? 1.0f : factors.rows[row_begin + i];
    for (std::size_t j = 0; j < cols; ++j) {
      float& w = out[i * cols + j];
      if (factors.plus_one) {
        w = static_cast<float>(static_cast<double>(of_row) * (1 + static_cast<double>(w)) - 1);
      } else {
        w *= factors.columns.empty() ? of_row : of_row * factors.columns[j];
      }
      w = rounded_to(factors.type, w);
    }
  }
}

}  // namespace lcomp
