#pragma once

#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/quantizer.h"

namespace lcomp {

// About how much the cost rises that sensitivities were gathered for, when `weight` is replaced by `decoded`, E = W^ -
// W:
//   linears      1/2 sum_i rho_i E_i G E_i^T,   G = rows/2 guided_hessian,   rho_i = outputs[i] / sum of outputs
//   embeddings   1/2 sum_ij rows[i] columns[j] / (sum of rows) E_ij^2
// the second term of the cost's expansion with the guided Hessian of GuidedQuant (arXiv 2505.07004), or for embeddings
// a Fisher information of rank one. 0 where no token depends on the weight. In double. weight, decoded: [rows, cols].
// Throws Error naming `component` when shapes don't fit.
double second_order_cost(ConstMatrixView weight, ConstMatrixView decoded, const LayerSensitivity& sensitivity,
                         const std::string& component);

// That cost C(E), and what of it comes from W^ being the weight made smaller or larger:
//   along_weight = a^2 C(W),   a = <E, W> / <W, W>   in the form that the cost is
// Means of what is rounded to them shrink by a = -C(E) / C(W), so that all of this part is theirs.
struct ErrorCost {
  double cost = 0, along_weight = 0;

  // Second order is right for each component alone; but what shrinks the weights of many adds up to more than the sum.
  double weighed(double shrinkage_weight) const { return cost + (shrinkage_weight - 1) * along_weight; }
};
ErrorCost error_cost(ConstMatrixView weight, ConstMatrixView decoded, const LayerSensitivity& sensitivity,
                     const std::string& component);

// How often the part along the weight counts for allocators. Chosen on texts of C4 for SmolLM2, banded at 3.2 bits.
inline constexpr double default_shrinkage_weight = 3;

}  // namespace lcomp
