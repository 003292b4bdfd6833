#include <cblas.h>

#include <cassert>
#include <numeric>
#include <vector>

#include "blas_int.h"
#include "lcomp/core/parallel.h"
#include "lcomp/quantizers/rate_coded_quantizer.h"

namespace lcomp {
namespace {

constexpr std::size_t rows_together = 256;

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

// Rows first ... of `values`, their columns in the factor's order.
void take_rows(ConstMatrixView values, const HessianFactor& factor, std::size_t first, Matrix& out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t p = 0; p < factor.size(); ++p) out(i, p) = values(first + i, factor.order[p]);
  }
}

}  // namespace

StepPrices RateCodedProblem::step_prices(ConstMatrixView gradient, ConstMatrixView error, double precision) const {
  const std::size_t rows = weight_.rows(), cols = weight_.cols();
  assert(gradient.rows() == rows && gradient.cols() == cols && error.rows() == rows && error.cols() == cols);
  StepPrices prices;
  if (irrelevant_) return prices;
  std::vector<double> row_costs(rows, 0.0), row_bits(rows, 0.0), col_costs(cols, 0.0), col_bits(cols, 0.0);
  Matrix noise(std::min(rows, rows_together), cols), slope(noise.rows(), cols);
  for (std::size_t first = 0; first < rows; first += rows_together) {
    const std::size_t count = std::min(rows_together, rows - first);
    take_rows(error, factor_, first, noise, count);
    take_rows(gradient, factor_, first, slope, count);
    cblas_strmm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, blas_int(count), blas_int(cols), 1,
                factor_.root.data(), blas_int(cols), noise.data(), blas_int(cols));
    cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasNonUnit, blas_int(count), blas_int(cols), 1,
                factor_.root.data(), blas_int(cols), slope.data(), blas_int(cols));
    for (std::size_t i = 0; i < count; ++i) {
      const double row = row_magnitudes_[first + i] - row_steps_[first + i] + precision;
      for (std::size_t p = 0; p < cols; ++p) {
        const std::size_t j = factor_.order[p];
        const double cost = static_cast<double>(noise(i, p)) * static_cast<double>(slope(i, p));
        const double bits = RateCurve::weight_slope(options_.trellis_memory, row + col_magnitudes_[j] - col_steps_[j]);
        row_costs[first + i] += cost;
        col_costs[j] += cost;
        row_bits[first + i] += bits;
        col_bits[j] += bits;
      }
    }
  }
  prices.cost = std::accumulate(row_costs.begin(), row_costs.end(), 0.0);
  prices.bits = std::accumulate(row_bits.begin(), row_bits.end(), 0.0);
  if (options_.row_steps) prices.rows = spread_of(row_spread_, row_costs, row_bits);
  if (options_.column_steps) prices.columns = spread_of(col_spread_, col_costs, col_bits);
  return prices;
}

}  // namespace lcomp
