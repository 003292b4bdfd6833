#include "lcomp/quantizers/cost/second_order_cost.h"

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/quantizers/cost/proxy_error.h"

namespace lcomp {
namespace {

double sum_of(std::span<const float> values) { return std::accumulate(values.begin(), values.end(), 0.0); }

double embedding_cost(ConstMatrixView weight, ConstMatrixView decoded, const LayerSensitivity& sensitivity) {
  double sum = 0;
  for (std::size_t i = 0; i < weight.rows(); ++i) {
    double row = 0;
    for (std::size_t j = 0; j < weight.cols(); ++j) {
      const double error = static_cast<double>(weight(i, j)) - static_cast<double>(decoded(i, j));
      row += static_cast<double>(sensitivity.columns[j]) * error * error;
    }
    sum += static_cast<double>(sensitivity.rows[i]) * row;
  }
  const double all = sum_of(sensitivity.rows);
  return all > 0 ? 0.5 * sum / all : 0;
}

// Rows times the root of their share.
Matrix weighted(ConstMatrixView values, const std::vector<double>& roots) {
  Matrix result(values.rows(), values.cols());
  for (std::size_t i = 0; i < values.rows(); ++i) {
    for (std::size_t j = 0; j < values.cols(); ++j) {
      result(i, j) = static_cast<float>(roots[i] * static_cast<double>(values(i, j)));
    }
  }
  return result;
}

}  // namespace

double second_order_cost(ConstMatrixView weight, ConstMatrixView decoded, const LayerSensitivity& sensitivity,
                         const std::string& component) {
  const std::size_t rows = weight.rows();
  const std::size_t cols = weight.cols();
  const bool fits = sensitivity.embedding
                        ? sensitivity.rows.size() == rows && sensitivity.columns.size() == cols
                        : sensitivity.outputs.size() == rows && sensitivity.guided_hessian.rows() == cols &&
                              sensitivity.guided_hessian.cols() == cols;
  if (decoded.rows() != rows || decoded.cols() != cols || !fits) {
    throw Error(
        {component, "sensitivities of another shape", fmt::format("those of a weight of {} x {}", rows, cols), ""});
  }
  if (sensitivity.embedding) return embedding_cost(weight, decoded, sensitivity);
  const double all = sum_of(sensitivity.outputs);
  if (!(all > 0)) return 0;
  std::vector<double> roots(rows);
  for (std::size_t i = 0; i < rows; ++i) roots[i] = std::sqrt(static_cast<double>(sensitivity.outputs[i]) / all);
  const double error =
      proxy_error(weighted(weight, roots).view(), weighted(decoded, roots).view(), sensitivity.guided_hessian);
  return 0.25 * static_cast<double>(rows) * error;
}

ErrorCost error_cost(ConstMatrixView weight, ConstMatrixView decoded, const LayerSensitivity& sensitivity,
                     const std::string& component) {
  ErrorCost result;
  result.cost = second_order_cost(weight, decoded, sensitivity, component);
  Matrix nothing(weight.rows(), weight.cols());
  nothing.fill(0);
  const double without = second_order_cost(weight, nothing.view(), sensitivity, component);
  if (!(without > 0)) return result;
  const double of_decoded = second_order_cost(nothing.view(), decoded, sensitivity, component);
  const double along = (of_decoded - result.cost - without) / (2 * without);  // W^ = W + E
  result.along_weight = along * along * without;
  return result;
}

}  // namespace lcomp
