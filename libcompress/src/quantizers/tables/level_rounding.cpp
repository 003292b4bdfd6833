#include "quantizers/tables/level_rounding.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "quantizers/feedback/error_feedback.h"
#include "quantizers/tables/sorted_weights.h"

namespace lcomp {
namespace {

bool fits_on_the_way(const FeedbackSetting& feedback, const Granularity& granularity) {
  return feedback.enabled && granularity.kind == Granularity::Kind::group && !feedback.static_groups;
}

// The weights [rows, cols] seen as groups of columns in the order that they are stored in.
struct Columns {
  ConstMatrixView weight;
  std::size_t group_size = 0;
  std::size_t level_count = 0;
  std::vector<std::uint32_t> stored;  // the column of the weight that each stored column is
  std::vector<float> costs;           // of stored columns; empty: all the same

  std::size_t groups() const { return divide_up(weight.cols(), group_size); }
  std::size_t size_of(std::size_t group) const { return std::min(group_size, weight.cols() - group * group_size); }
  std::span<const float> costs_of(std::size_t group) const {
    return costs.empty() ? std::span<const float>() : std::span(costs).subspan(group * group_size, size_of(group));
  }
  void copy_row(std::size_t i, std::span<float> out) const {
    const auto row = weight.row(i);
    for (std::size_t j = 0; j < stored.size(); ++j) out[j] = row[stored[j]];
  }
};

void round_plainly(const Columns& columns, LevelGroups& groups) {
  const std::size_t cols = columns.weight.cols();
  parallel_chunks(0, columns.weight.rows(), 4, [&](std::size_t first, std::size_t last) {
    std::vector<float> row(cols), levels(columns.level_count);
    std::vector<std::uint8_t> ranks(cols);
    for (std::size_t i = first; i < last; ++i) {
      columns.copy_row(i, row);
      groups.begin_row(i, row, columns.costs);
      for (std::size_t g = 0; g < columns.groups(); ++g) {
        const std::size_t begin = g * columns.group_size;
        const std::size_t end = begin + columns.size_of(g);
        groups.fit(i, g, std::span(row).subspan(begin, end - begin), columns.costs_of(g), levels);
        for (std::size_t j = begin; j < end; ++j) ranks[j] = static_cast<std::uint8_t>(nearest_level(levels, row[j]));
      }
      groups.finish_row(i, ranks);
    }
  });
}

// The levels of some rows, for the feedback loop.
class LevelRounder : public ColumnRounder {
 public:
  LevelRounder(const Columns& columns, const HessianFactor& factor, bool fit_on_the_way, LevelGroups& groups,
               std::size_t first_row, std::size_t row_count)
      : columns_(columns),
        factor_(factor),
        fit_on_the_way_(fit_on_the_way),
        groups_(groups),
        first_row_(first_row),
        rows_(row_count),
        levels_(columns.groups() * row_count * columns.level_count),
        ranks_(columns.weight.cols() * row_count) {
    std::vector<bool> dead(columns.weight.cols(), false);
    for (const std::uint32_t column : factor.dead) dead[column] = true;
    std::vector<float> row(columns.weight.cols());
    for (std::size_t r = 0; r < rows_; ++r) {
      columns_.copy_row(first_row_ + r, row);
      for (std::size_t j = 0; j < row.size(); ++j) {
        if (dead[columns_.stored[j]]) row[j] = 0;
      }
      groups_.begin_row(first_row_ + r, row, columns_.costs);
      if (fit_on_the_way_) continue;
      for (std::size_t g = 0; g < columns_.groups(); ++g) {
        const auto of_group = std::span(row).subspan(g * columns_.group_size, columns_.size_of(g));
        groups_.fit(first_row_ + r, g, of_group, columns_.costs_of(g), levels(g, r));
      }
    }
  }

  void fit(std::size_t position, ConstMatrixView columns) override {
    const std::size_t group = position / columns_.group_size;
    std::vector<float> weights(columns.rows());
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t k = 0; k < weights.size(); ++k) weights[k] = columns(k, r);
      groups_.fit(first_row_ + r, group, weights, columns_.costs_of(group), levels(group, r));
    }
  }

  void round(std::size_t position, std::span<const float> values, std::span<float> decoded) override {
    const std::size_t column = fit_on_the_way_ ? position : factor_.order[position];
    const std::size_t group = column / columns_.group_size;
    std::uint8_t* ranks = &ranks_[position * rows_];
    for (std::size_t r = 0; r < rows_; ++r) {
      const std::span<const float> of_group = levels(group, r);
      const std::size_t rank = nearest_level(of_group, values[r]);
      ranks[r] = static_cast<std::uint8_t>(rank);
      decoded[r] = of_group[rank];
    }
  }

  void finish() override {
    std::vector<std::uint8_t> row(columns_.weight.cols());
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t j = 0; j < row.size(); ++j) {
        row[fit_on_the_way_ ? j : factor_.order[j]] = ranks_[j * rows_ + r];
      }
      groups_.finish_row(first_row_ + r, row);
    }
  }

 private:
  std::span<float> levels(std::size_t group, std::size_t r) {
    return std::span(levels_).subspan((group * rows_ + r) * columns_.level_count, columns_.level_count);
  }

  const Columns& columns_;
  const HessianFactor& factor_;
  const bool fit_on_the_way_;
  LevelGroups& groups_;
  const std::size_t first_row_, rows_;
  std::vector<float> levels_;        // [groups, rows, levels]
  std::vector<std::uint8_t> ranks_;  // [positions, rows]
};

}  // namespace

void check_levels(int bits, const Granularity& granularity, const std::string& where) {
  if (bits < 1 || bits > 8) throw Error({where, fmt::format("{} bits", bits), "1 to 8", ""});
  if (granularity.kind == Granularity::Kind::tensor) {
    throw Error({where, "one group for the whole tensor", "groups of columns, or \"channel\"", ""});
  }
  if (granularity.kind == Granularity::Kind::group && granularity.group_size == 0) {
    throw Error({where, "groups of 0 columns", "at least 1", ""});
  }
}

std::size_t columns_per_group(const Granularity& granularity, std::size_t cols) {
  return granularity.kind == Granularity::Kind::group ? std::min(granularity.group_size, cols) : cols;
}

bool permutes_columns(const FeedbackSetting& feedback, const Granularity& granularity, std::size_t cols) {
  return feedback.act_order && fits_on_the_way(feedback, granularity) && columns_per_group(granularity, cols) < cols;
}

std::vector<std::uint32_t> round_to_levels(ConstMatrixView weight, const LayerKnowledge& knowledge,
                                           const FeedbackSetting& feedback, int bits, const Granularity& granularity,
                                           LevelGroups& groups, const std::string& component) {
  const std::size_t cols = weight.cols();
  const bool on_the_way = knowledge.factor.has_value() && fits_on_the_way(feedback, granularity);
  Columns columns{weight, columns_per_group(granularity, cols), std::size_t{1} << bits, {}, {}};
  columns.stored.resize(cols);
  std::iota(columns.stored.begin(), columns.stored.end(), 0u);
  if (on_the_way) columns.stored = knowledge.factor->order;
  if (!knowledge.column_weights.empty()) {
    columns.costs.resize(cols);
    for (std::size_t j = 0; j < cols; ++j) columns.costs[j] = knowledge.column_weights[columns.stored[j]];
  }
  if (!knowledge.factor) {
    round_plainly(columns, groups);
    return columns.stored;
  }
  FeedbackOptions options;
  options.block_size = feedback.block_size;
  options.group_size = on_the_way ? columns.group_size : 0;
  round_with_feedback(
      weight, *knowledge.factor, options,
      [&](std::size_t first_row, std::size_t row_count) {
        return std::make_unique<LevelRounder>(columns, *knowledge.factor, on_the_way, groups, first_row, row_count);
      },
      component);
  return columns.stored;
}

}  // namespace lcomp
