#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/quantizer.h"

namespace lcomp {

// Scaling of a linear's input channels by what is known of their activations (AWQ, arXiv 2306.00978): columns that meet
// large inputs are made larger before rounding, so that the grid's step is smaller for them.
//   W'_ij = W_ij s_j,   s_j = rms_j^alpha / norm,   rms_j = sqrt(H_jj / 2),   norm = sqrt(max_j s_j min_j s_j)
// The published s_j has the mean of |x_j| in place of the root mean square, which a Hessian H = 2/n sum x x^T gives
// without more statistics (for a normal distribution they are proportional). Channels that are silent count as
// 1e-4 of the largest. What is stored and counted is c_j = 1 / s_j, an f16 a column, rounded first: the weight is
// divided by the stored c_j. Folding c into the norm or linear before, as the paper does, would save these bytes; it is
// not done here.
struct InputScalingOptions {
  std::optional<double> alpha;  // 0 .. 1; absent: the best of 0, 1/steps, ..., 1
  int steps = 20;               // of the search
};

// c for a given alpha. Throws Error naming `component` when the Hessian is missing, not `cols` square, or has a
// diagonal that is negative or not finite. All 1 when no channel was ever excited. O(cols).
std::vector<float> input_scales(const LayerStats& stats, std::size_t cols, double alpha, const std::string& component);

// The values of alpha to try, ascending.
std::vector<double> alphas_to_try(const InputScalingOptions& options);

}  // namespace lcomp
