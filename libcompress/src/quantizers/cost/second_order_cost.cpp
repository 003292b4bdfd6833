#include "lcomp/quantizers/cost/second_order_cost.h"

#include <fmt/format.h>

#include <cmath>

#include "lcomp/core/eigen_view.h"
#include "lcomp/core/error.h"
#include "lcomp/quantizers/cost/proxy_error.h"

namespace lcomp {
namespace {

double sum_of(std::span<const float> values) { return as_eigen(values).cast<double>().sum(); }

// 1/2 sum_i rho_i e_i diag(d) e_i^T,   rho_i = share of row i, d the sensitivity of the columns
double embedding_cost(ConstMatrixView weight, ConstMatrixView decoded, const LayerSensitivity& sensitivity) {
  const auto rows = as_eigen(sensitivity.rows).cast<double>();
  const Eigen::VectorXd columns = as_eigen(sensitivity.columns).cast<double>();
  const auto errors = as_eigen(weight).cast<double>() - as_eigen(decoded).cast<double>();
  const double sum = rows.dot((errors * columns.asDiagonal()).cwiseProduct(errors).rowwise().sum());
  const double all = rows.sum();
  return all > 0 ? 0.5 * sum / all : 0;
}

// Rows times the root of their share.
Matrix weighted(ConstMatrixView values, const Eigen::VectorXd& roots) {
  Matrix result(values.rows(), values.cols());
  as_eigen(result.view()) = (roots.asDiagonal() * as_eigen(values).cast<double>()).cast<float>();
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
  const Eigen::VectorXd roots = (as_eigen(sensitivity.outputs).cast<double>() / all).cwiseSqrt();
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
