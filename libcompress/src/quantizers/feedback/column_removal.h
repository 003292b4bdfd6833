#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/feedback/hessian_factor.h"

namespace lcomp {

// Leaving out the last columns T of a weight whose other columns P make up for it as well as they can ("optimal brain
// surgeon", Hassibi and Stork 1993, for many columns at once):
//   w_P' = w_P + w_T H_TP H_PP^-1,   cost 1/2 w_T (H_TT - H_TP H_PP^-1 H_PT) w_T^T
// hessian: [cols, cols], positive definite.

// What each column adds to sum_i importance_i (twice the cost of row i): [cols]; of the last columns from some one on
// the costs are the sum of theirs. With H = L L^T, L lower triangular: sum_i importance_i ((W L)_ij)^2, in float32 with
// sums in double. Throws Error naming `component` where the Hessian is not positive definite.
std::vector<double> removal_costs(ConstMatrixView weight, std::span<const double> importance, ConstMatrixView hessian,
                                  const std::string& component);

// W' [rows, kept]. root: the upper triangular root R of H_PP = R R^T.
Matrix without_last_columns(ConstMatrixView weight, ConstMatrixView hessian, ConstMatrixView root, std::size_t kept);

}  // namespace lcomp
