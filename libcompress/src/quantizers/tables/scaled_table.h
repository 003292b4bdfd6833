#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lcomp/quantizers/quantizer_options.h"
#include "quantizers/tables/sorted_weights.h"

namespace lcomp {

// A fixed table of levels times a scale per group of weights: what logarithmic and normal-float grids have in common.
//   w^ = scale * level
struct LevelTable {
  std::vector<float> levels;        // ascending, a power of two of them
  std::vector<std::uint8_t> codes;  // the code of each

  float largest_magnitude() const;
};

// Of the levels of codes 0, 1, 2, ...
LevelTable make_level_table(std::span<const float> level_of_code);

// The scale for some weights, as stored; 0 when all are 0, infinite when it overflows its storage. About 100 levels *
// log(weights) operations for mse.
float fit_table_scale(const SortedWeights& weights, const LevelTable& table, TableFit fit, const ScaleValues& scales);

// sum_j c_j (w_j - w^_j)^2 with each weight rounded to the nearest of scale * levels.
double table_error(const SortedWeights& weights, const LevelTable& table, float scale);

}  // namespace lcomp
