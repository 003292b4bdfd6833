#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/quantizers/feedback/hessian_factor.h"
#include "lcomp/quantizers/uniform/uniform_grid.h"
#include "quantizers/feedback/error_feedback.h"

namespace lcomp {

// Uniform grids for the loop of error compensation: one weight's rounders, and the grouped integers that they write.
struct UniformRounding {
  GridSetting setting;
  // Grids are fitted on the way, to groups in the factor's order; else beforehand, to groups of the weight's own order.
  bool fit_on_the_way = false;
  bool dead_are_zero = false;         // dead columns count as 0 when grids are fitted, else with their weights
  std::vector<float> column_weights;  // of squared errors, in the order of the groups; empty: all 1

  ConstMatrixView weight;  // [rows, cols] in its own order
  const HessianFactor* factor = nullptr;
  GroupedIntegerWeight* out = nullptr;  // its layout set; filled row by row
  std::span<float> zero_points;         // [group_count] of out, for set_zero_points() when all rows are done
  std::string component;
};

// The rounder of some rows. Throws Error naming the component and a row where a scale overflows its storage.
std::unique_ptr<ColumnRounder> make_uniform_rounder(const UniformRounding& rounding, std::size_t first_row,
                                                    std::size_t row_count);

}  // namespace lcomp
