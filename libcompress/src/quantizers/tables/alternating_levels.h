#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lcomp/core/matrix.h"

namespace lcomp {

// A weight whose rows have a table of levels each, and the two steps that LNQ (arXiv 2505.07004) takes by turns to make
//   tr((W - W^) H (W - W^)^T)
// smaller for the whole of H, not its diagonal alone. Neither ever makes it larger for any row, up to float32 rounding.
// H [cols, cols]: symmetric, positive semidefinite, positive diagonal. Rows go to all threads in slabs of 128; the
// result does not depend on the number of threads, but may differ between machines with different instruction sets.
struct LevelRows {
  std::size_t cols = 0;
  Matrix levels;                    // [rows, 2^bits], each row ascending, f16 values
  std::vector<std::uint8_t> ranks;  // [rows, cols]: w^_ij = levels(i, ranks[i * cols + j])

  std::size_t rows() const { return levels.rows(); }
};

// Codes for given levels: `cycles` times over all columns, each weight goes to the level nearest to
//   w^_j + g_j / H_jj,   g = (w - w^) H
// which is the best one while the row's others stay (cyclic coordinate descent). Columns in blocks whose gradients are
// brought up to date by matrix products. 2 rows cols^2 operations for the start and for each cycle.
void improve_codes(ConstMatrixView weight, ConstMatrixView hessian, std::size_t cycles, LevelRows& quantized);

// Levels for given codes: for each row the least squares
//   (P^T H P) step = P^T g,   P [cols, 2^bits] one-hot codes, new levels = levels + step
// by Cholesky with a ridge of 1e-6 of the mean diagonal, then rounded to f16. A row whose error would not fall keeps
// its levels. Levels are sorted again. 2.5 rows cols^2 + rows 8^bits / 3 operations;
// memory, a thread, 128 * 4^bits doubles.
void improve_levels(ConstMatrixView weight, ConstMatrixView hessian, LevelRows& quantized);

}  // namespace lcomp
