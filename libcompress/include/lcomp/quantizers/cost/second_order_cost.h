#pragma once

#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/layer_stats.h"

namespace lcomp {

// The rise of the cost that sensitivities were gathered for, to second order, when `weight` W is replaced by `decoded`
// W^, E = W^ - W:
//   linear layers  1/2 sum_i rho_i E_i G E_i^T,   G = rows/2 guided_hessian,   rho_i = outputs[i] / sum of outputs
//   embeddings     1/2 sum_ij rows[i] columns[j] / (sum of rows) E_ij^2
// For linear layers it is the expansion with the guided Hessian of GuidedQuant (arXiv 2505.07004), for embeddings that
// with a Fisher information of rank one. 0 where no token depends on the weight. In double. weight, decoded:
// [rows, cols]. Throws Error naming `component` when shapes do not fit.
double second_order_cost(ConstMatrixView weight, ConstMatrixView decoded, const LayerSensitivity& sensitivity,
                         const std::string& component);

// That cost C(E), and the part of it that comes from W^ being smaller or larger than W as a whole:
//   along_weight = a^2 C(W),   a = <E, W> / <W, W>   in the quadratic form of the cost
// Rounding to the means of cells shrinks by a = -C(E) / C(W).
struct ErrorCost {
  double cost = 0, along_weight = 0;

  // The cost with its shrinking part counted shrinkage_weight times. The second order holds for each component alone;
  // when the weights of many components shrink, the cost is more than the sum.
  double weighed(double shrinkage_weight) const { return cost + (shrinkage_weight - 1) * along_weight; }
};
ErrorCost error_cost(ConstMatrixView weight, ConstMatrixView decoded, const LayerSensitivity& sensitivity,
                     const std::string& component);

// The shrinkage_weight that allocators use. Chosen on C4 for SmolLM2, banded at 3.2 bits.
inline constexpr double default_shrinkage_weight = 3;

}  // namespace lcomp
