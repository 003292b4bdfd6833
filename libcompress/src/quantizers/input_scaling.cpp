#include "lcomp/quantizers/input_scaling.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"

namespace lcomp {
namespace {

constexpr double silent = 1e-4;  // root mean square of channels at rest, of the largest

std::vector<double> root_mean_squares(const LayerStats& stats, std::size_t cols, const std::string& component) {
  if (stats.hessian.size() == 0) {
    throw Error({component, "no Hessian", "statistics of the layer's inputs, which scale needs",
                 "calibrate the model first, or use a method without statistics"});
  }
  if (stats.hessian.rows() != cols || stats.hessian.cols() != cols) {
    throw Error({component, fmt::format("a Hessian of {} x {}", stats.hessian.rows(), stats.hessian.cols()),
                 fmt::format("{0} x {0}, the weight's columns", cols), "calibrate this model"});
  }
  std::vector<double> rms(cols);
  for (std::size_t j = 0; j < cols; ++j) {
    const float diagonal = stats.hessian(j, j);
    if (!std::isfinite(diagonal) || diagonal < 0) {
      throw Error({component, fmt::format("{} on the diagonal of the Hessian, column {}", diagonal, j),
                   "a finite number from 0 on", "calibrate this model again"});
    }
    rms[j] = std::sqrt(static_cast<double>(diagonal) / 2);
  }
  return rms;
}

}  // namespace

std::vector<float> input_scales(const LayerStats& stats, std::size_t cols, double alpha, const std::string& component) {
  std::vector<double> rms = root_mean_squares(stats, cols, component);
  const double largest = rms.empty() ? 0 : *std::max_element(rms.begin(), rms.end());
  std::vector<float> scales(cols, 1.0f);
  if (largest == 0) return scales;
  for (double& r : rms) r = std::max(r, silent * largest);
  const double norm = std::sqrt(largest) * std::sqrt(*std::min_element(rms.begin(), rms.end()));
  for (std::size_t j = 0; j < cols; ++j) {  // within 0.01 .. 100
    scales[j] = half_to_float(float_to_half(static_cast<float>(std::pow(rms[j] / norm, -alpha))));
  }
  return scales;
}

std::vector<double> alphas_to_try(const InputScalingOptions& options) {
  if (options.alpha) return {*options.alpha};
  std::vector<double> alphas;
  for (int step = 0; step <= options.steps; ++step) alphas.push_back(static_cast<double>(step) / options.steps);
  return alphas;
}

}  // namespace lcomp
