#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"

namespace lcomp {

// The triangular root of a damped Hessian, which error compensation works with:
//   H' = H[order, order] + damping * mean(diag H) * I = R R^T,   R upper triangular, positive diagonal
// Columns whose diagonal is zero (no token ever excited them: "dead") get 1 there first, as in the reference code of
// GPTQ; the mean is taken after that.
//
// The papers write error compensation with U = R^-1, the upper Cholesky factor of H'^-1 = U^T U. R has the same use
// without an inverse: it comes from one factorisation in reversed order, n^3/3 operations in place of the 4 n^3/3 of
// factorisation, inverse and second factorisation. R_jj^2 = 1/U_jj^2 is the variance of column j that later columns
// can't make up for: what an error of that column costs.
struct HessianFactor {
  Matrix root;                         // R [n, n]; zero below the diagonal
  std::vector<std::uint32_t> order;    // column j of R is column order[j] of H
  std::vector<std::uint32_t> dead;     // columns of H whose diagonal is zero, ascending
  double damping = 0;                  // as used: the option, or more where that was not enough
  std::optional<std::string> warning;  // says so when the damping was raised

  std::size_t size() const { return root.rows(); }
};

struct HessianFactorOptions {
  double damping = 0.01;   // fraction of the mean diagonal, 0 .. 1
  bool act_order = false;  // columns by decreasing diagonal (ties: as they come) in place of their own order
  std::span<const double> importance = {};  // [n], what act_order goes by in place of the diagonal; empty: the diagonal
};

// Factors `hessian` [n, n], symmetric (of two values that should be equal it reads one). When it is not positive
// definite in spite of the damping, the damping is raised tenfold (at least to 1e-4), as often as needed up to 1, and
// `warning` says so. Throws Error naming `component` for a matrix that is not square, holds NaN or infinity or a
// negative diagonal, or stays singular.
//
// Products in float32, sums that decide in double, as long as no column's variance inflation H'_jj / R_jj^2 (its
// variance over what later columns leave of it) is above 200; else all in double. The relative error of R_jj is about
// 5e-8 times the largest inflation. Below the limit codes are those of an R found in double, but for rare rows in which
// a weight lay half way between two points (at most 0.7 % of a layer's codes, mostly none); with an inflation of 600
// (damping 0.001, half as many tokens as columns) 1.5 % of them would be others. Layers of SmolLM2 have 6 to 230, some
// in the first blocks up to 5000.
//
// Blocked, on all threads; the result does not depend on their number. n^3/3 operations; 4 n^2 bytes besides the
// result, in double 8 n^2.
HessianFactor factor_hessian(ConstMatrixView hessian, const HessianFactorOptions& options,
                             const std::string& component);

// U = R^-1, the upper Cholesky factor of H'^-1. n^3/3 operations in float32, LAPACK.
Matrix inverse_root(const HessianFactor& factor);

// In place: the upper triangular root R of a symmetric positive definite matrix A = R R^T [n, n] with rows `stride`
// apart, of which the part on and above the diagonal is read and replaced; the rest is scratch. False when A is not
// positive definite, or when some A_jj / R_jj^2 is above `most_inflation`. In float32 the error of (R R^T)_ij is some
// 2^-23 of the square root of A_ii A_jj. On all threads, the result does not depend on their number.
bool upper_root(double* matrix, std::size_t n, std::size_t stride,
                double most_inflation = std::numeric_limits<double>::infinity());
bool upper_root(float* matrix, std::size_t n, std::size_t stride,
                double most_inflation = std::numeric_limits<double>::infinity());

}  // namespace lcomp
