#pragma once

#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/feedback/hessian_factor.h"
#include "lcomp/quantizers/layer_stats.h"

namespace lcomp {

struct ImportanceOptions {
  bool guided = true;  // Hessian and rows of LayerStats::sensitivity, where there is one; else the plain Hessian
  double embedding_weight = 1;  // of an embedding's sensitivity
  double damping = 0.01;
  bool by_magnitude = false;  // columns by decreasing H_jj sum_i rho_i w_ij^2; else by H_jj

  bool operator==(const ImportanceOptions&) const = default;
};

// What errors E of a weight [rows, cols] cost, to second order, where they are fed back:
//   1/2 sum_i rho_i e_i G e_i^T,   G = unit R R^T
// With sensitivities G is the sum over all outputs of the guided Hessian, rho_i = outputs[i] / sum of outputs; of an
// embedding, tied or not, G is diagonal, its sensitivity by columns, and rho_i that by rows. Without, G is the plain
// Hessian and rho_i equal.
struct LayerImportance {
  bool irrelevant = false;   // the cost doesn't depend on it; nothing below is set
  std::vector<double> rows;  // rho [rows], bounded from below
  double unit = 1;
  HessianFactor factor;  // R, its columns in an order of its own

  // What the user should know: a damping that was raised, a weight that doesn't matter.
  std::vector<std::string> warnings() const;
};

// Throws Error naming `component`: neither sensitivity nor Hessian; one of another size, not finite, or singular
// whatever the damping.
LayerImportance find_layer_importance(ConstMatrixView weight, const LayerStats& stats, const ImportanceOptions& options,
                                      const std::string& method, const std::string& component);

// Where nothing is known: all errors cost the same. Columns by decreasing magnitude.
LayerImportance equal_importance(ConstMatrixView weight);

}  // namespace lcomp
