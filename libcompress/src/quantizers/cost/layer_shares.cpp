#include "lcomp/quantizers/cost/layer_shares.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "quantizers/feedback/layer_knowledge.h"

namespace lcomp {
namespace {

constexpr double least_row_share = 0.02;      // of the mean: few tokens say little about rows that hardly matter
constexpr double embedding_row_share = 0.05;  // of the mean, added: tokens that the texts don't have

// sum_i rho_i w_ij^2 of each column.
std::vector<double> squares_of_columns(ConstMatrixView weight, const std::vector<double>& shares) {
  std::vector<double> squares(weight.cols(), 0.0);
  for (std::size_t i = 0; i < weight.rows(); ++i) {
    for (std::size_t j = 0; j < weight.cols(); ++j) {
      const auto w = static_cast<double>(weight(i, j));
      squares[j] += shares[i] * w * w;
    }
  }
  return squares;
}

// Values over their sum, no less than `least` of their mean, and `added` means more. Empty where the sum is zero.
std::vector<double> shares_of(std::span<const float> values, double least, double added) {
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  if (!(sum > 0)) return {};
  const double mean = 1.0 / static_cast<double>(values.size());
  std::vector<double> shares(values.size());
  for (std::size_t i = 0; i < shares.size(); ++i) {
    shares[i] = std::max(static_cast<double>(values[i]) / sum, least * mean) + added * mean;
  }
  return shares;
}

}  // namespace

LayerShares find_layer_shares(ConstMatrixView weight, const LayerStats& stats, const ShareOptions& options,
                              const std::string& method, const std::string& component) {
  const std::size_t rows = weight.rows();
  const std::size_t cols = weight.cols();
  const LayerSensitivity* sensitivity = options.guided ? stats.sensitivity : nullptr;
  Matrix hessian(cols, cols);
  LayerShares result;
  if (sensitivity != nullptr && sensitivity->rows.size() == rows && sensitivity->columns.size() == cols &&
      sensitivity->embedding) {
    result.rows = shares_of(sensitivity->rows, 0, embedding_row_share);
    hessian.fill(0);
    const auto scale = static_cast<float>(options.embedding_weight);
    for (std::size_t j = 0; j < cols; ++j) hessian(j, j) = scale * sensitivity->columns[j];
  } else if (sensitivity != nullptr && sensitivity->outputs.size() == rows) {
    LayerStats guided = stats;
    guided.hessian = sensitivity->guided_hessian;
    require_hessian(weight, guided, method, component);
    result.rows = shares_of(sensitivity->outputs, least_row_share, 0);
    const auto scale = static_cast<float>(0.5 * static_cast<double>(rows));
    for (std::size_t i = 0; i < cols; ++i) {
      for (std::size_t j = 0; j < cols; ++j) hessian(i, j) = scale * sensitivity->guided_hessian(i, j);
    }
  } else {
    require_hessian(weight, stats, method, component);
    result.rows.assign(rows, 1.0 / static_cast<double>(rows));
    for (std::size_t i = 0; i < cols; ++i) std::copy_n(stats.hessian.row(i).data(), cols, hessian.row(i).data());
  }
  double trace = 0;
  for (std::size_t j = 0; j < cols; ++j) trace += static_cast<double>(hessian(j, j));
  result.irrelevant = result.rows.empty() || !(trace > 0);
  if (result.irrelevant) return result;
  // A unit in which float32 has room: costs a token may be 1e-12.
  result.unit = trace / static_cast<double>(cols);
  for (float& value : hessian.span()) value = static_cast<float>(static_cast<double>(value) / result.unit);
  HessianFactorOptions factoring{options.damping, true};
  std::vector<double> importance;
  if (options.by_magnitude) {
    importance = squares_of_columns(weight, result.rows);
    for (std::size_t j = 0; j < cols; ++j) importance[j] *= static_cast<double>(hessian(j, j));
    factoring.importance = importance;
  }
  result.factor = factor_hessian(hessian.view(), factoring, component);
  return result;
}

std::vector<std::string> LayerShares::warnings() const {
  std::vector<std::string> texts;
  if (factor.warning) texts.push_back(*factor.warning);
  if (irrelevant) texts.emplace_back("no token depends on it: all its weights become zero");
  return texts;
}

LayerShares equal_shares(ConstMatrixView weight) {
  LayerShares result;
  result.rows.assign(weight.rows(), 1.0 / static_cast<double>(weight.rows()));
  Matrix identity(weight.cols(), weight.cols());
  identity.fill(0);
  for (std::size_t j = 0; j < weight.cols(); ++j) identity(j, j) = 1;
  const std::vector<double> importance = squares_of_columns(weight, result.rows);
  result.factor = factor_hessian(identity.view(), {0, true, importance}, "");
  return result;
}

}  // namespace lcomp
