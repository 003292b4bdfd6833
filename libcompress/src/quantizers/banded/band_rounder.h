#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/quantizers/uniform/uniform_grid.h"
#include "quantizers/feedback/error_feedback.h"

namespace lcomp {

// Uniform grids of bands for the loop of error compensation: fitted as each band begins.
struct BandRounding {
  GridFit fit = GridFit::mse;
  float margin = 1;  // of the row's scale, which is chosen before error compensation widens the range of the weights
  std::span<const float> column_weights;  // of squared errors, in stored order; empty: all 1
  ConstMatrixView weight;                 // [rows, columns of bands that have bits], in stored order
  BandedIntegerWeight* out = nullptr;     // its widths set; filled row by row
  std::string component;
};

// The largest range of a row's bands that have bits, rounded for storage and with the margin; what row_scales are.
// Throws Error naming the component and the row where it overflows.
float row_scale_of(const BandRounding& rounding, std::size_t row);

std::unique_ptr<ColumnRounder> make_band_rounder(const BandRounding& rounding, std::size_t first_row,
                                                 std::size_t row_count);

}  // namespace lcomp
