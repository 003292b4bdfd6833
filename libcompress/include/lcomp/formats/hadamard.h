#pragma once

#include <cstddef>

#include "lcomp/core/matrix.h"

namespace lcomp {

// Orthonormal Hadamard matrices and fast products with them.
//   H_n = (P_m (x) W_r) / sqrt(n),  n = m r,  r = 2^k,  W_1 = (1),  W_2r = [[W_r, W_r], [W_r, -W_r]]
// m = 1 and P_1 = (1) when n is a power of two. Else n must be 3, 5, 7 or 9 times a power of two from 4 on, m is 12,
// 20, 28 or 36, and P_m is Paley's matrix, chi(x) being 0 for x = 0 mod q, 1 for squares mod q and -1 for the rest:
//   12, 20 (first construction, q = 11, 19): P = I + [[0, 1^T], [-1, Q]],  Q_ij = chi(i - j)
//   28, 36 (second, q = 13, 17):             P = C (x) [[1, 1], [1, -1]] + I (x) [[1, -1], [-1, -1]],
//                                            C = [[0, 1^T], [1, Q]],  Q_ij = chi(i - j)
// All are orthogonal, P_m P_m^T = m I; those of 12 and 20 are not symmetric.
//
// Products are in float32 in one fixed order, so that they are the same on every machine: sums and differences of
// entries 1, 2, 4, ..., r/2 apart, then (m > 1) each sum over P_m's columns from left to right, then times 1/sqrt(n)
// rounded to float32. n (log2(r) + m) operations for one vector, m counted only when it is not 1.

// True when there is an H_n.
bool is_hadamard_order(std::size_t n);

// The largest n <= at_most that divides `dimension` and for which there is an H_n; a power of two unless `paley`. At
// least 1 for dimension, at_most >= 1.
std::size_t largest_hadamard_block(std::size_t dimension, std::size_t at_most, bool paley);

enum class HadamardProduct { plain, transposed };  // H x or H^T x

// In place: multiplies each `block` consecutive values of each row by H_block. block divides the columns and is a
// Hadamard order (asserted). One thread.
void hadamard_along_rows(MatrixView<float> matrix, std::size_t block, HadamardProduct product);

// The same along columns: each `block` consecutive rows. Equal, to the bit, to transposing, hadamard_along_rows and
// transposing back.
void hadamard_along_columns(MatrixView<float> matrix, std::size_t block, HadamardProduct product);

}  // namespace lcomp
