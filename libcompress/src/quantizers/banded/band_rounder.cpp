#include "quantizers/banded/band_rounder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/formats/group_scales.h"
#include "quantizers/uniform/uniform_column_kernels.h"

namespace lcomp {
namespace {

class BandRounder : public ColumnRounder {
 public:
  BandRounder(const BandRounding& rounding, std::size_t first_row, std::size_t row_count)
      : rounding_(rounding),
        out_(*rounding.out),
        first_row_(first_row),
        rows_(row_count),
        scales_(out_.coded_bands * rows_),
        zero_points_(out_.coded_bands * rows_),
        row_scales_(rows_),
        codes_(out_.cols * rows_, std::uint8_t{0}) {
    for (std::size_t r = 0; r < rows_; ++r) row_scales_[r] = row_scale_of(rounding, first_row + r);
  }

  void fit(std::size_t position, ConstMatrixView columns) override {
    const std::size_t band = position / band_columns;
    const int bits = out_.band_bits[band];
    const std::span<const float> all_weights = rounding_.column_weights;
    const auto column_weights = all_weights.empty() ? all_weights : all_weights.subspan(position, columns.rows());
    std::vector<float> weights(columns.rows());
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t k = 0; k < weights.size(); ++k) weights[k] = columns(k, r);
      const ScaleValues scales{ScaleStorage::u8, band_row_scale(row_scales_[r], out_.band_bits[band])};
      const UniformGrid grid = fit_grid(weights, {bits, out_.symmetric, rounding_.fit}, scales, column_weights);
      scales_[band * rows_ + r] = grid.scale;
      zero_points_[band * rows_ + r] = grid.zero_point;
    }
  }

  void round(std::size_t position, std::span<const float> values, std::span<float> decoded) override {
    const std::size_t band = position / band_columns;
    const int bits = out_.band_bits[band];
    round_column(values.data(), &scales_[band * rows_], &zero_points_[band * rows_],
                 static_cast<float>((1 << bits) - 1), bits == 1 && out_.symmetric, rows_, &codes_[position * rows_],
                 decoded.data());
  }

  void finish() override {
    std::vector<std::uint8_t> codes(out_.cols);
    std::vector<float> scales(out_.coded_bands), zero_points(out_.coded_bands);
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t j = 0; j < codes.size(); ++j) codes[j] = codes_[j * rows_ + r];
      for (std::size_t b = 0; b < scales.size(); ++b) {
        scales[b] = scales_[b * rows_ + r];
        zero_points[b] = zero_points_[b * rows_ + r];
      }
      pack_row(out_, first_row_ + r, codes);
      set_scales(out_, first_row_ + r, scales, row_scales_[r]);
      set_zero_points(out_, first_row_ + r, zero_points);
    }
  }

 private:
  const BandRounding& rounding_;
  BandedIntegerWeight& out_;
  const std::size_t first_row_, rows_;
  std::vector<float> scales_, zero_points_;  // [coded bands, rows]
  std::vector<float> row_scales_;            // [rows]
  std::vector<std::uint8_t> codes_;          // [positions, rows]
};

}  // namespace

float row_scale_of(const BandRounding& rounding, std::size_t row) {
  const BandedIntegerWeight& out = *rounding.out;
  const std::size_t coded_columns = rounding.weight.cols();
  float widest = 0;
  for (std::size_t begin = 0; begin < coded_columns; begin += band_columns) {
    float low = 0, high = 0;
    for (std::size_t j = begin; j < std::min(begin + band_columns, coded_columns); ++j) {
      const float w = rounding.weight(row, j);
      low = std::min(low, w);
      high = std::max(high, w);
    }
    widest = std::max(widest, out.symmetric ? 2 * std::max(-low, high) : high - low);
  }
  const float scale = round_row_scale(rounding.margin * widest);
  if (std::isfinite(scale)) return scale;
  throw Error({fmt::format("{}, row {}", rounding.component, row), "weights so large that their range overflows f16",
               "", "use a method whose scales can be stored in f32"});
}

std::unique_ptr<ColumnRounder> make_band_rounder(const BandRounding& rounding, std::size_t first_row,
                                                 std::size_t row_count) {
  return std::make_unique<BandRounder>(rounding, first_row, row_count);
}

}  // namespace lcomp
