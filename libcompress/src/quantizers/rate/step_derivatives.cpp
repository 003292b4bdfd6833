#include <algorithm>
#include <cassert>
#include <numeric>
#include <vector>

#include "lcomp/core/eigen_view.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"
#include "quantizers/feedback/float_product.h"

namespace lcomp {
namespace {

constexpr std::size_t rows_of_slab = 256;

// By loops: the exponents that are learned from these sums, to the last digit, are written into config.json.
StepDerivatives::Spread spread_of(const std::vector<double>& distances, const std::vector<double>& costs,
                                  const std::vector<double>& bits) {
  const double all = std::accumulate(bits.begin(), bits.end(), 0.0);
  StepDerivatives::Spread spread;
  if (!(all > 0)) return spread;
  const double mean = std::inner_product(bits.begin(), bits.end(), distances.begin(), 0.0) / all;
  for (std::size_t i = 0; i < distances.size(); ++i) {
    const double distance = distances[i] - mean;
    spread.imbalance += distance * costs[i];
    spread.variance += bits[i] * distance * distance / all;
  }
  return spread;
}

Matrix transposed(const Matrix& matrix) {
  Matrix out(matrix.cols(), matrix.rows());
  as_eigen(out.view()) = as_eigen(matrix.view()).transpose();
  return out;
}

// values b^T for rows first ... of `values`, their columns in the factor's order.
Matrix product_of_rows(ConstMatrixView values, std::size_t first, std::size_t count, const HessianFactor& factor,
                       const Matrix& b) {
  Matrix ordered(count, factor.size()), product(count, factor.size());
  as_eigen(ordered.view()) = as_eigen(values.rows_range(first, count))(Eigen::all, factor.order);
  product.fill(0);
  add_product_with_transposed(1, ordered.view(), b.view(), product.view());
  return product;
}

}  // namespace

StepDerivatives RateCodedProblem::step_derivatives(ConstMatrixView gradient, ConstMatrixView error,
                                                   double precision) const {
  const std::size_t rows = weight_.rows(), cols = weight_.cols();
  assert(gradient.rows() == rows && gradient.cols() == cols && error.rows() == rows && error.cols() == cols);
  StepDerivatives prices;
  if (irrelevant_) return prices;
  const HessianFactor& factor = importance_->factor;
  const Matrix root = transposed(factor.root), inverse = inverse_root(factor);
  const Eigen::ArrayXd magnitudes = as_eigen(col_magnitudes_)(factor.order), steps = as_eigen(col_steps_)(factor.order);
  const auto bits_of = [this](double width) { return RateCurve::weight_slope(options_.trellis_memory, width); };
  // Costs and bits of each row, and of each column (in the factor's order) by slabs of rows.
  const std::size_t slabs = divide_up(rows, rows_of_slab);
  std::vector<double> row_costs(rows), row_bits(rows), col_costs(cols, 0.0), col_bits(cols, 0.0);
  std::vector<Eigen::VectorXd> slab_costs(slabs, Eigen::VectorXd::Zero(magnitudes.size())), slab_bits = slab_costs;
  parallel_for(0, slabs, [&](std::size_t slab) {
    const std::size_t first = slab * rows_of_slab, count = std::min(rows_of_slab, rows - first);
    const Matrix noise = product_of_rows(error, first, count, factor, root);
    const Matrix slope = product_of_rows(gradient, first, count, factor, inverse);
    for (std::size_t i = 0; i < count; ++i) {
      const double row = row_magnitudes_[first + i] - row_steps_[first + i] + precision;
      const auto costs = as_eigen(noise.row(i)).cast<double>().cwiseProduct(as_eigen(slope.row(i)).cast<double>());
      const Eigen::VectorXd bits = (row + magnitudes - steps).unaryExpr(bits_of);
      row_costs[first + i] = costs.sum();
      row_bits[first + i] = std::accumulate(bits.begin(), bits.end(), 0.0);
      slab_costs[slab] += costs;
      slab_bits[slab] += bits;
    }
  });
  for (std::size_t slab = 0; slab < slabs; ++slab) {
    as_eigen(col_costs)(factor.order) += slab_costs[slab];
    as_eigen(col_bits)(factor.order) += slab_bits[slab];
  }
  prices.cost = std::accumulate(row_costs.begin(), row_costs.end(), 0.0);
  prices.bits = std::accumulate(row_bits.begin(), row_bits.end(), 0.0);
  if (options_.row_steps) prices.rows = spread_of(row_spread_, row_costs, row_bits);
  if (options_.column_steps) prices.columns = spread_of(col_spread_, col_costs, col_bits);
  return prices;
}

}  // namespace lcomp
