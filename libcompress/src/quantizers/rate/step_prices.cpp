#include <algorithm>
#include <cassert>
#include <numeric>
#include <vector>

#include "quantizers/feedback/float_product.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

namespace lcomp {
namespace {

constexpr std::size_t rows_of_price_slab = 256;

StepPrices::Spread spread_of(const std::vector<double>& distances, const std::vector<double>& costs,
                             const std::vector<double>& bits) {
  const double all = std::accumulate(bits.begin(), bits.end(), 0.0);
  StepPrices::Spread spread;
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
  for (std::size_t i = 0; i < matrix.rows(); ++i) {
    for (std::size_t j = 0; j < matrix.cols(); ++j) out(j, i) = matrix(i, j);
  }
  return out;
}

// values b^T for rows first ... of `values`, their columns in the factor's order.
Matrix product_of_rows(ConstMatrixView values, std::size_t first, std::size_t count, const HessianFactor& factor,
                       const Matrix& b) {
  Matrix ordered(count, factor.size()), product(count, factor.size());
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t p = 0; p < factor.size(); ++p) ordered(i, p) = values(first + i, factor.order[p]);
  }
  product.fill(0);
  add_product_with_transposed(1, ordered.view(), b.view(), product.view());
  return product;
}

}  // namespace

StepPrices RateCodedProblem::step_prices(ConstMatrixView gradient, ConstMatrixView error, double precision) const {
  const std::size_t rows = weight_.rows(), cols = weight_.cols();
  assert(gradient.rows() == rows && gradient.cols() == cols && error.rows() == rows && error.cols() == cols);
  StepPrices prices;
  if (irrelevant_) return prices;
  const HessianFactor& factor = shares_->factor;
  const Matrix root = transposed(factor.root), inverse = inverse_root(factor);
  // Costs and bits of each row, and of each column by slabs of rows.
  const std::size_t slabs = divide_up(rows, rows_of_price_slab);
  std::vector<double> row_costs(rows, 0.0), row_bits(rows, 0.0);
  std::vector<std::vector<double>> slab_costs(slabs), slab_bits(slabs);
  parallel_for(0, slabs, [&](std::size_t slab) {
    const std::size_t first = slab * rows_of_price_slab, count = std::min(rows_of_price_slab, rows - first);
    const Matrix noise = product_of_rows(error, first, count, factor, root);
    const Matrix slope = product_of_rows(gradient, first, count, factor, inverse);
    slab_costs[slab].assign(cols, 0.0);
    slab_bits[slab].assign(cols, 0.0);
    for (std::size_t i = 0; i < count; ++i) {
      const double row = row_magnitudes_[first + i] - row_steps_[first + i] + precision;
      for (std::size_t p = 0; p < cols; ++p) {
        const std::size_t j = factor.order[p];
        const double cost = static_cast<double>(noise(i, p)) * static_cast<double>(slope(i, p));
        const double bits = RateCurve::weight_slope(options_.trellis_memory, row + col_magnitudes_[j] - col_steps_[j]);
        row_costs[first + i] += cost;
        slab_costs[slab][j] += cost;
        row_bits[first + i] += bits;
        slab_bits[slab][j] += bits;
      }
    }
  });
  std::vector<double> col_costs(cols, 0.0), col_bits(cols, 0.0);
  for (std::size_t slab = 0; slab < slabs; ++slab) {
    for (std::size_t j = 0; j < cols; ++j) {
      col_costs[j] += slab_costs[slab][j];
      col_bits[j] += slab_bits[slab][j];
    }
  }
  prices.cost = std::accumulate(row_costs.begin(), row_costs.end(), 0.0);
  prices.bits = std::accumulate(row_bits.begin(), row_bits.end(), 0.0);
  if (options_.row_steps) prices.rows = spread_of(row_spread_, row_costs, row_bits);
  if (options_.column_steps) prices.columns = spread_of(col_spread_, col_costs, col_bits);
  return prices;
}

}  // namespace lcomp
