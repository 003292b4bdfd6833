#include "quantizers/uniform/uniform_rounder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lcomp/core/error.h"
#include "lcomp/formats/grouped_integer.h"
#include "quantizers/uniform/uniform_column_kernels.h"

namespace lcomp {
namespace {

// The scale of a row (u8 storage) has to be chosen before the groups are fitted; this much more than the largest scale
// of the original weights, since feedback widens their range.
constexpr float row_scale_margin = 1.25f;

class UniformRounder : public ColumnRounder {
 public:
  UniformRounder(const UniformRounding& rounding, std::size_t first_row, std::size_t row_count)
      : rounding_(rounding),
        layout_(*rounding.out),
        first_row_(first_row),
        rows_(row_count),
        groups_(groups_per_row(layout_)),
        scales_(groups_ * rows_),
        zero_points_(groups_ * rows_),
        row_scales_(rows_),
        codes_(layout_.cols * rows_) {
    if (!rounding.fit_on_the_way) {
      fit_beforehand();
    } else if (layout_.scale_storage == ScaleStorage::u8) {
      choose_row_scales();
    }
  }

  void fit(std::size_t position, ConstMatrixView columns) override {
    const std::size_t group = position / layout_.group_size;
    const std::span<const float> all_weights = rounding_.column_weights;
    const auto column_weights = all_weights.empty() ? all_weights : all_weights.subspan(position, columns.rows());
    std::vector<float> weights(columns.rows());
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t k = 0; k < weights.size(); ++k) weights[k] = columns(k, r);
      const ScaleValues scales{layout_.scale_storage, row_scales_[r]};
      const UniformGrid grid = fit_grid(weights, rounding_.setting, scales, column_weights);
      if (!std::isfinite(grid.scale)) {
        throw Error({where(r), fmt::format("weights so large that their scale overflows {}", name(scales.storage)), "",
                     scales.storage == ScaleStorage::f32 ? "" : "store scales in f32"});
      }
      set_grid(group, r, grid);
    }
  }

  void round(std::size_t position, std::span<const float> values, std::span<float> decoded) override {
    const std::size_t column = rounding_.fit_on_the_way ? position : rounding_.factor->order[position];
    const std::size_t at = column / layout_.group_size * rows_;
    const float highest = static_cast<float>((1 << layout_.bits) - 1);
    round_column(values.data(), &scales_[at], &zero_points_[at], highest, layout_.bits == 1 && layout_.symmetric, rows_,
                 &codes_[position * rows_], decoded.data());
  }

  void finish() override {
    constexpr std::size_t together = 8;  // rows whose codes stay in the cache while columns change places
    std::vector<std::uint8_t> codes(together * layout_.cols);
    std::vector<float> scales(groups_);
    for (std::size_t first = 0; first < rows_; first += together) {
      const std::size_t count = std::min(together, rows_ - first);
      for (std::size_t j = 0; j < layout_.cols; ++j) {
        const std::size_t stored = layout_.permuted ? j : rounding_.factor->order[j];
        for (std::size_t r = 0; r < count; ++r) codes[r * layout_.cols + stored] = codes_[j * rows_ + first + r];
      }
      for (std::size_t r = first; r < first + count; ++r) {
        const std::size_t row = first_row_ + r;
        pack_row(*rounding_.out, row, std::span(codes).subspan((r - first) * layout_.cols, layout_.cols));
        for (std::size_t g = 0; g < groups_; ++g) {
          scales[g] = scales_[g * rows_ + r];
          rounding_.zero_points[row * groups_ + g] = zero_points_[g * rows_ + r];
        }
        set_scales(*rounding_.out, row, scales, row_scales_[r]);
      }
    }
  }

 private:
  std::string where(std::size_t r) const { return fmt::format("{}, row {}", rounding_.component, first_row_ + r); }

  void set_grid(std::size_t group, std::size_t r, const UniformGrid& grid) {
    scales_[group * rows_ + r] = grid.scale;
    zero_points_[group * rows_ + r] = grid.zero_point;
  }

  // Row r with its columns in the order of the groups.
  void copy_row(std::size_t r, std::span<float> row) const {
    const auto weights = rounding_.weight.row(first_row_ + r);
    std::copy(weights.begin(), weights.end(), row.begin());
    if (rounding_.dead_are_zero) {
      for (const std::uint32_t column : rounding_.factor->dead) row[column] = 0;
    }
    if (!rounding_.fit_on_the_way) return;
    const std::vector<float> own_order(row.begin(), row.end());
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = own_order[rounding_.factor->order[j]];
  }

  RowGrids fit_original(std::size_t r, std::vector<float>& row) const {
    copy_row(r, row);
    return fit_row(row, layout_.group_size, rounding_.setting, layout_.scale_storage, where(r),
                   rounding_.column_weights);
  }

  void fit_beforehand() {
    std::vector<float> row(layout_.cols);
    for (std::size_t r = 0; r < rows_; ++r) {
      const RowGrids fitted = fit_original(r, row);
      for (std::size_t g = 0; g < groups_; ++g) set_grid(g, r, fitted.grids[g]);
      row_scales_[r] = fitted.row_scale;
    }
  }

  void choose_row_scales() {
    std::vector<float> row(layout_.cols);
    for (std::size_t r = 0; r < rows_; ++r) {
      row_scales_[r] = round_row_scale(row_scale_margin * fit_original(r, row).row_scale);
    }
  }

  const UniformRounding& rounding_;
  const GroupedIntegerLayout layout_;
  const std::size_t first_row_, rows_, groups_;
  std::vector<float> scales_, zero_points_;  // [groups, rows]
  std::vector<float> row_scales_;            // [rows]
  std::vector<std::uint8_t> codes_;          // [positions, rows]
};

}  // namespace

std::unique_ptr<ColumnRounder> make_uniform_rounder(const UniformRounding& rounding, std::size_t first_row,
                                                    std::size_t row_count) {
  return std::make_unique<UniformRounder>(rounding, first_row, row_count);
}

}  // namespace lcomp
