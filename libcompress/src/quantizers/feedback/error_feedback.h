#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/feedback/hessian_factor.h"

namespace lcomp {

// How the columns of some rows of a weight are rounded: the grid of a quantizer, as the loop below sees it.
// The loop visits columns in the order of the factor; `position` counts them in that order. One object serves one slab
// of rows and is used by one thread; it keeps the codes that it chooses.
class ColumnRounder {
 public:
  virtual ~ColumnRounder() = default;

  // Called before round() when a group of columns begins at `position` (group_size of the loop; never when that is 0),
  // to fit a grid to the weights as they are since the last finished block. columns: [columns of the group, rows of the
  // slab], the transposed weights; fewer columns than group_size at the end.
  virtual void fit(std::size_t position, ConstMatrixView columns);

  // Rounds a column: values [rows of the slab]. Writes what the chosen codes decode to.
  virtual void round(std::size_t position, std::span<const float> values, std::span<float> decoded) = 0;

  // Called once, after the last column.
  virtual void finish() {}
};

struct FeedbackOptions {
  std::size_t block_size = 128;  // columns between updates of all later ones
  std::size_t group_size = 0;    // columns that share a grid fitted on the way; 0: the rounder has its grids already
};

// Makes the rounder of rows [first_row, first_row + row_count). Called from several threads at once.
using MakeColumnRounder = std::function<std::unique_ptr<ColumnRounder>(std::size_t first_row, std::size_t row_count)>;

// Rounds a weight column by column, each time changing the columns to come so that they make up for the error: the loop
// of GPTQ, for any grid. With R of the factor, W [rows, cols] with its columns in the factor's order, and errors
// e_i = w_i - w^_i, each row minimises |e R|^2 = e H' e^T greedily by
//   w^_j = round(w_j + sum_{i < j} e_i R_ij / R_jj)
// That is what subtracting (w_i - w^_i) U_ij / U_ii from the columns j > i after each column does (arXiv 2210.17323,
// eq. 2 and 3), without U; arXiv 2307.13304 shows that they are equal. fit() sees W + S R_BB^-1 with
// S_j = sum_i e_i R_ij over the finished blocks and B the columns from the block's begin to the group's end: the
// published algorithm's weights at that moment.
//
// `weight` is in its own order; columns that are dead are taken for 0. Throws Error naming `component` when the
// compensation overflows, and what rounders throw.
//
// Rows go to all threads in slabs of 128 or 256; the result does not depend on the number of threads, but may differ in
// the last bits (and so, rarely, in a code) between machines with different instruction sets. rows * cols^2 operations
// in float32, most of them in matrix products; memory, a thread, 8 bytes for each weight of a slab.
void round_with_feedback(ConstMatrixView weight, const HessianFactor& factor, const FeedbackOptions& options,
                         const MakeColumnRounder& make_rounder, const std::string& component);

}  // namespace lcomp
