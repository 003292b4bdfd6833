#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/formats/group_scales.h"
#include "quantizers/tables/level_groups.h"
#include "quantizers/tables/scaled_table.h"

namespace lcomp {

// Groups whose levels are a fixed table times a scale. Weight: LogarithmicWeight or CodebookWeight with a shared
// codebook, whose table must be set.
template <typename Weight>
class ScaledTableGroups : public LevelGroups {
 public:
  // widens: groups are fitted on the way, when error compensation has widened their range.
  ScaledTableGroups(const LevelTable& table, TableFit fit, ScaleStorage storage, bool widens, Weight& out,
                    const std::string& component)
      : table_(table),
        fit_(fit),
        storage_(storage),
        row_scale_margin_(widens ? 1.25f : 1.0f),
        out_(out),
        component_(component),
        scales_(out.rows * groups_per_row(out)),
        row_scales_(out.rows) {}

  // 8-bit scales have their row's scale chosen first: the largest that the original groups want.
  void begin_row(std::size_t row, std::span<const float> weights, std::span<const float> column_weights) override {
    if (storage_ != ScaleStorage::u8) return;
    SortedWeights sorted;
    float largest = 0;
    for (std::size_t begin = 0; begin < weights.size(); begin += std::min(out_.group_size, weights.size() - begin)) {
      const std::size_t size = std::min(out_.group_size, weights.size() - begin);
      sorted.assign(weights.subspan(begin, size),
                    column_weights.empty() ? column_weights : column_weights.subspan(begin, size));
      largest = std::max(largest, fit_table_scale(sorted, table_, fit_, {ScaleStorage::f32, 0}));
    }
    row_scales_[row] = largest > 0 ? round_row_scale(row_scale_margin_ * largest) : 0;
    require_finite_scale(row, row_scales_[row]);
  }

  void fit(std::size_t row, std::size_t group, std::span<const float> weights, std::span<const float> column_weights,
           std::span<float> levels) override {
    const SortedWeights sorted(weights, column_weights);
    const float scale = fit_table_scale(sorted, table_, fit_, {storage_, row_scales_[row]});
    require_finite_scale(row, scale);
    scales_[row * groups_per_row(out_) + group] = scale;
    for (std::size_t k = 0; k < levels.size(); ++k) levels[k] = scale * table_.levels[k];
  }

  void finish_row(std::size_t row, std::span<const std::uint8_t> ranks) override {
    std::vector<std::uint8_t> codes(ranks.size());
    for (std::size_t j = 0; j < codes.size(); ++j) codes[j] = table_.codes[ranks[j]];
    pack_row(out_, row, codes);
    const std::size_t per_row = groups_per_row(out_);
    set_scales(out_, row, std::span<const float>(scales_).subspan(row * per_row, per_row), row_scales_[row]);
  }

 private:
  void require_finite_scale(std::size_t row, float scale) const {
    if (std::isfinite(scale)) return;
    throw Error({fmt::format("{}, row {}", component_, row),
                 fmt::format("weights so large that their scale overflows {}", name(storage_)), "",
                 storage_ == ScaleStorage::f32 ? "" : "store scales in f32"});
  }

  const LevelTable& table_;
  const TableFit fit_;
  const ScaleStorage storage_;
  const float row_scale_margin_;
  Weight& out_;
  const std::string& component_;
  std::vector<float> scales_;      // [rows, groups of a row]
  std::vector<float> row_scales_;  // [rows]
};

}  // namespace lcomp
