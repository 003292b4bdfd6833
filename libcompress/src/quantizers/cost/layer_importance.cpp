#include "lcomp/quantizers/cost/layer_importance.h"

#include <span>

#include "lcomp/core/eigen_view.h"
#include "quantizers/feedback/layer_knowledge.h"

namespace lcomp {
namespace {

constexpr double least_row_share = 0.02;      // of the mean: few tokens say little about rows that hardly matter
constexpr double embedding_row_share = 0.05;  // of the mean, added: tokens that the texts don't have

// sum_i rho_i w_ij^2 of each column.
std::vector<double> squares_of_columns(ConstMatrixView weight, const std::vector<double>& importance) {
  std::vector<double> squares(weight.cols(), 0.0);
  for (std::size_t i = 0; i < weight.rows(); ++i) {
    const auto w = as_eigen(weight.row(i)).cast<double>().array();
    as_eigen(squares).array() += importance[i] * w * w;
  }
  return squares;
}

// Values over their sum, no less than `least` of their mean, and `added` means more. Empty where the sum is zero.
std::vector<double> importance_of(std::span<const float> values, double least, double added) {
  const auto exact = as_eigen(values).cast<double>().array();
  const double sum = exact.sum();
  if (!(sum > 0)) return {};
  const double mean = 1.0 / static_cast<double>(values.size());
  std::vector<double> importance(values.size());
  as_eigen(importance).array() = (exact / sum).max(least * mean) + added * mean;
  return importance;
}

}  // namespace

LayerImportance find_layer_importance(ConstMatrixView weight, const LayerStats& stats, const ImportanceOptions& options,
                                      const std::string& method, const std::string& component) {
  const std::size_t rows = weight.rows();
  const std::size_t cols = weight.cols();
  const LayerSensitivity* sensitivity = options.guided ? stats.sensitivity : nullptr;
  Matrix hessian(cols, cols);
  LayerImportance result;
  if (sensitivity != nullptr && sensitivity->rows.size() == rows && sensitivity->columns.size() == cols &&
      sensitivity->embedding) {
    result.rows = importance_of(sensitivity->rows, 0, embedding_row_share);
    hessian.fill(0);
    const auto scale = static_cast<float>(options.embedding_weight);
    as_eigen(hessian.view()).diagonal() = scale * as_eigen(sensitivity->columns);
  } else if (sensitivity != nullptr && sensitivity->outputs.size() == rows) {
    LayerStats guided = stats;
    guided.hessian = sensitivity->guided_hessian;
    require_hessian(weight, guided, method, component);
    result.rows = importance_of(sensitivity->outputs, least_row_share, 0);
    const auto scale = static_cast<float>(0.5 * static_cast<double>(rows));
    as_eigen(hessian.view()) = scale * as_eigen(sensitivity->guided_hessian);
  } else {
    require_hessian(weight, stats, method, component);
    result.rows.assign(rows, 1.0 / static_cast<double>(rows));
    as_eigen(hessian.view()) = as_eigen(stats.hessian);
  }
  auto matrix = as_eigen(hessian.view());
  const double trace = matrix.cast<double>().trace();
  result.irrelevant = result.rows.empty() || !(trace > 0);
  if (result.irrelevant) return result;
  // A unit in which float32 has room: costs a token may be 1e-12.
  result.unit = trace / static_cast<double>(cols);
  matrix = (matrix.cast<double>() / result.unit).cast<float>();
  HessianFactorOptions factoring{options.damping, true};
  std::vector<double> importance;
  if (options.by_magnitude) {
    importance = squares_of_columns(weight, result.rows);
    as_eigen(importance).array() *= matrix.diagonal().cast<double>().array();
    factoring.importance = importance;
  }
  result.factor = factor_hessian(hessian.view(), factoring, component);
  return result;
}

std::vector<std::string> LayerImportance::warnings() const {
  std::vector<std::string> texts;
  if (factor.warning) texts.push_back(*factor.warning);
  if (irrelevant) texts.emplace_back("no token depends on it: all its weights become zero");
  return texts;
}

LayerImportance equal_importance(ConstMatrixView weight) {
  LayerImportance result;
  result.rows.assign(weight.rows(), 1.0 / static_cast<double>(weight.rows()));
  Matrix identity(weight.cols(), weight.cols());
  as_eigen(identity.view()).setIdentity();
  const std::vector<double> importance = squares_of_columns(weight, result.rows);
  result.factor = factor_hessian(identity.view(), {0, true, importance}, "");
  return result;
}

}  // namespace lcomp
