#include "quantizers/feedback/layer_knowledge.h"

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/quantizers/uniform/uniform_grid.h"

namespace lcomp {
namespace {

void check_size(ConstMatrixView weight, const LayerStats& stats, const std::string& component) {
  if (stats.hessian.rows() == weight.cols() && stats.hessian.cols() == weight.cols()) return;
  throw Error({component, fmt::format("a Hessian of {} x {}", stats.hessian.rows(), stats.hessian.cols()),
               fmt::format("{0} x {0}, the weight's columns", weight.cols()), "calibrate this model"});
}

std::vector<float> diagonal_of(ConstMatrixView hessian, const std::string& component) {
  std::vector<float> diagonal(hessian.rows());
  for (std::size_t j = 0; j < diagonal.size(); ++j) {
    diagonal[j] = hessian(j, j);
    if (std::isfinite(diagonal[j]) && diagonal[j] >= 0) continue;
    throw Error({component, fmt::format("a Hessian with {} on its diagonal, column {}", diagonal[j], j),
                 "a positive semidefinite one", "calibrate again"});
  }
  return diagonal;
}

}  // namespace

void require_hessian(ConstMatrixView weight, const LayerStats& stats, const std::string& method,
                     const std::string& component) {
  if (stats.hessian.size() == 0) {
    throw Error({component, "no Hessian", fmt::format("statistics of the layer's inputs, which {} needs", method),
                 "calibrate the model first, or use a method without statistics, such as rtn"});
  }
  check_size(weight, stats, component);
}

LayerKnowledge learn_from_statistics(ConstMatrixView weight, const LayerStats& stats, const FeedbackSetting& feedback,
                                     const std::string& method, const std::string& component) {
  require_finite(weight, component);
  LayerKnowledge knowledge;
  if (feedback.enabled) require_hessian(weight, stats, method, component);
  if (stats.hessian.size() == 0) return knowledge;
  check_size(weight, stats, component);
  std::vector<float> diagonal = diagonal_of(stats.hessian, component);
  const double mean = std::accumulate(diagonal.begin(), diagonal.end(), 0.0) /
                      static_cast<double>(std::max<std::size_t>(1, diagonal.size()));
  if (!(mean > 0)) {
    knowledge.warnings.push_back(component +
                                 ": calibration saw no input of this layer; its weights are rounded without");
    return knowledge;
  }
  if (!feedback.enabled) {
    for (float& d : diagonal) d += static_cast<float>(feedback.damping * mean);
    knowledge.column_weights = std::move(diagonal);
    return knowledge;
  }
  knowledge.factor = factor_hessian(stats.hessian, {feedback.damping, feedback.act_order}, component);
  const HessianFactor& factor = *knowledge.factor;
  if (factor.warning) knowledge.warnings.push_back(*factor.warning);
  knowledge.column_weights.resize(factor.size());
  for (std::size_t j = 0; j < factor.size(); ++j) {
    knowledge.column_weights[factor.order[j]] = factor.root(j, j) * factor.root(j, j);
  }
  for (const std::uint32_t column : factor.dead) knowledge.column_weights[column] = 0;  // any level will do
  return knowledge;
}

}  // namespace lcomp
