#include "lcomp/quantizers/transforms/input_scaling.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "quantizers/method_string.h"

namespace lcomp {
namespace {

constexpr double silent = 1e-4;  // root mean square of channels at rest, of the largest

// c before it is rounded.
std::vector<double> scales_of(std::vector<double> rms, double alpha) {
  const double largest = rms.empty() ? 0 : *std::max_element(rms.begin(), rms.end());
  if (largest == 0) return std::vector<double>(rms.size(), 1.0);
  for (double& r : rms) r = std::max(r, silent * largest);
  const double norm = std::sqrt(largest) * std::sqrt(*std::min_element(rms.begin(), rms.end()));
  for (double& r : rms) r = std::pow(r / norm, -alpha);
  return rms;
}

}  // namespace

std::string name(const InputScalingOptions& options) {
  const InputScalingOptions defaults;
  MethodString text("scale");
  text.flag("fold", options.fold);
  if (options.alpha) text.add("alpha", *options.alpha);
  if (options.steps != defaults.steps) text.add("steps", std::int64_t{options.steps});
  return text.text();
}

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

std::vector<float> input_scales(const LayerStats& stats, std::size_t cols, double alpha, const std::string& component) {
  std::vector<float> scales;
  for (const double c : scales_of(root_mean_squares(stats, cols, component), alpha)) {
    scales.push_back(half_to_float(float_to_half(static_cast<float>(c))));
  }
  return scales;
}

std::vector<float> input_scales(std::vector<double> rms, double alpha) {
  const std::vector<double> scales = scales_of(std::move(rms), alpha);
  return {scales.begin(), scales.end()};
}

std::vector<double> alphas_to_try(const InputScalingOptions& options) {
  if (options.alpha) return {*options.alpha};
  std::vector<double> alphas;
  for (int step = 0; step <= options.steps; ++step) alphas.push_back(static_cast<double>(step) / options.steps);
  return alphas;
}

}  // namespace lcomp
