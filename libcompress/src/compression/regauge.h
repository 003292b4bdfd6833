#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lcomp/models/model_folder.h"

namespace lcomp {

// A change of rows [row_begin, row_begin + rows) of a tensor that is part of a change of the model that keeps its
// function (see ConvertOptions). A weight w_ij becomes row_factors[i] * w_ij * column_factors[j], then its rows are
// turned; row_factors count from row_begin. A vector is a matrix with one column.
struct TensorChange {
  std::size_t row_begin = 0;
  std::size_t rows = 0;
  std::vector<double> row_factors;                            // empty: 1
  std::shared_ptr<const std::vector<double>> column_factors;  // null: 1; shared by the linear layers that read one norm
  std::optional<double> constant;                             // every value becomes this (a folded gain)

  // Rows 0 .. rotary_dim - 1 of each head, in pairs (i, i + rotary_dim / 2), are turned by angles[head /
  // heads_per_angle][i].
  std::size_t head_dim = 0;  // 0: nothing is turned
  std::size_t rotary_dim = 0;
  std::size_t heads_per_angle = 1;
  std::vector<double> angles;  // [heads / heads_per_angle, rotary_dim / 2]
};

// By tensor name, sorted by row_begin.
using TensorChanges = std::map<std::string, std::vector<TensorChange>>;

// The changes that fold the norms of a model and, given a seed, change its gauge. Reads the norms' gains only. Throws
// Error where the function would not be kept.
TensorChanges plan_changes(const ModelFolder& model, bool fold_norms, std::optional<std::uint64_t> regauge_seed);

// Applies a change to rows [first_row, first_row + rows) of a tensor, which lie within the change and hold whole heads
// where it turns rows. values: rows * cols doubles, in place.
void apply_change(const TensorChange& change, std::size_t first_row, std::size_t cols, std::span<double> values);

}  // namespace lcomp
