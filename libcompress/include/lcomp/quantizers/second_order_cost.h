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

}  // namespace lcomp
