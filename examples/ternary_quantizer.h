#pragma once

#include <lcomp/lcomp.h>

#include <cmath>
#include <vector>

// Chooses the codes; how they are stored is a format of the library, here a table of levels for each row.
class TernaryQuantizer final : public lcomp::Quantizer {
 public:
  lcomp::QuantizedWeight quantize(lcomp::ConstMatrixView weight, const lcomp::LayerStats&,
                                  const std::string& component) const override {
    lcomp::require_finite(weight, component);
    lcomp::CodebookWeight out = lcomp::make_codebook(layout_of(weight.rows(), weight.cols()), component);
    std::vector<std::uint8_t> codes(weight.cols());
    for (std::size_t i = 0; i < weight.rows(); ++i) {
      double sum = 0, kept = 0, count = 0;
      for (const float w : weight.row(i)) sum += std::abs(w);
      const double threshold = 0.7 * sum / static_cast<double>(weight.cols());
      for (std::size_t j = 0; j < weight.cols(); ++j) {
        const float w = weight(i, j);
        codes[j] = std::abs(w) <= threshold ? 1 : w < 0 ? 0 : 2;
        if (codes[j] != 1) kept += std::abs(w), ++count;
      }
      const auto level = static_cast<float>(count > 0 ? kept / count : 0);
      const float a = lcomp::half_to_float(lcomp::float_to_half(level));  // as it is stored
      lcomp::set_levels(out, i, std::vector<float>{-a, 0, a, 0});
      lcomp::pack_row(out, i, codes);
    }
    return out;
  }
  bool uses_statistics() const override { return false; }
  std::optional<lcomp::WeightLayout> layout(std::size_t rows, std::size_t cols) const override {
    return layout_of(rows, cols);
  }
  std::string name() const override { return "ternary"; }

 private:
  static lcomp::CodebookLayout layout_of(std::size_t rows, std::size_t cols) {
    return {rows, cols, 2, cols, {}, false};
  }
};
