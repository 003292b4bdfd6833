#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/layer_stats.h"

namespace lcomp {

// Scaling of a linear layer's input channels by their activations (AWQ, arXiv 2306.00978): columns that meet
// large inputs are made larger before rounding, so that the grid's step is smaller for them.
//   W'_ij = W_ij s_j,   s_j = rms_j^alpha / norm,   rms_j = sqrt(H_jj / 2),   norm = sqrt(max_j s_j min_j s_j)
// The published s_j has the mean of |x_j| in place of the root mean square, which a Hessian H = 2/n sum x x^T gives
// without more statistics (for a normal distribution they are proportional). Channels that are silent count as
// 1e-4 of the largest. What is stored and counted is c_j = 1 / s_j, an f16 a column, rounded first: the weight is
// divided by the stored c_j.
struct InputScalingOptions {
  std::optional<double> alpha;  // 0 .. 1; absent: the best of 0, 1/steps, ..., 1
  int steps = 20;               // of the search
  // c goes into the norm or linear layer that makes the input, as in the paper, instead of being stored. Only
  // compress_model() can do that, which sees both; a weight by itself stores its c.
  bool fold = false;

  bool operator==(const InputScalingOptions&) const = default;
};

// As in a method string: "scale:alpha=0.5".
std::string name(const InputScalingOptions& options);

// rms of the inputs [cols]. Throws Error naming `component` when the Hessian is missing, not `cols` square, or has a
// diagonal that is negative or not finite.
std::vector<double> root_mean_squares(const LayerStats& stats, std::size_t cols, const std::string& component);

// c for a given alpha, as f16 holds it: within 0.01 .. 100. Throws as root_mean_squares(). All 1 when no channel was
// ever excited. O(cols).
std::vector<float> input_scales(const LayerStats& stats, std::size_t cols, double alpha, const std::string& component);

// The same in float32, of root mean squares that may be of several linear layers: for c that is folded.
std::vector<float> input_scales(std::vector<double> rms, double alpha);

// The values of alpha to try, ascending.
std::vector<double> alphas_to_try(const InputScalingOptions& options);

}  // namespace lcomp
