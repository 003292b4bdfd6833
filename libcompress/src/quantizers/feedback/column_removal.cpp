#include "quantizers/feedback/column_removal.h"

#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <cassert>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "quantizers/feedback/blas_int.h"
#include "quantizers/feedback/float_product.h"

namespace lcomp {
namespace {

constexpr std::size_t together = 1024;  // rows

}  // namespace

std::vector<double> removal_costs(ConstMatrixView weight, std::span<const double> importance, ConstMatrixView hessian,
                                  const std::string& component) {
  const std::size_t rows = weight.rows();
  const std::size_t cols = weight.cols();
  std::vector<double> wide(cols * cols);
  for (std::size_t i = 0; i < cols; ++i) std::ranges::copy(hessian.row(i), wide.begin() + blas_int(i * cols));
  if (LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', blas_int(cols), wide.data(), blas_int(cols)) != 0) {
    throw Error({component, "a Hessian that is not positive definite", "one that is", "raise the damping"});
  }
  Matrix lower(cols, cols);
  std::ranges::transform(wide, lower.span().begin(), [](double value) { return static_cast<float>(value); });
  std::vector<double> costs(cols, 0.0);
  Matrix some(std::min(rows, together), cols);
  for (std::size_t first = 0; first < rows; first += together) {
    const std::size_t count = std::min(together, rows - first);
    for (std::size_t r = 0; r < count; ++r) std::ranges::copy(weight.row(first + r), some.row(r).begin());
    cblas_strmm(CblasRowMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit, blas_int(count), blas_int(cols), 1,
                lower.data(), blas_int(cols), some.data(), blas_int(cols));
    for (std::size_t r = 0; r < count; ++r) {
      for (std::size_t j = 0; j < cols; ++j) {
        const auto value = static_cast<double>(some(r, j));
        costs[j] += importance[first + r] * value * value;
      }
    }
  }
  return costs;
}

Matrix without_last_columns(ConstMatrixView weight, ConstMatrixView hessian, ConstMatrixView root, std::size_t kept) {
  const std::size_t rows = weight.rows();
  const std::size_t removed = weight.cols() - kept;
  assert(root.rows() == kept && root.cols() == kept && kept > 0);
  Matrix result(rows, kept);
  if (removed > 0) {
    // H_TP is the part of H below H_PP.
    result.fill(0);
    add_product(weight.cols_range(kept, removed), hessian.rows_range(kept, removed).cols_range(0, kept), result.view());
    for (const auto transposed : {CblasTrans, CblasNoTrans}) {
      cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, transposed, CblasNonUnit, blas_int(rows), blas_int(kept), 1,
                  root.data(), blas_int(root.stride()), result.data(), blas_int(kept));
    }
  }
  parallel_for(
      0, rows,
      [&](std::size_t i) {
        const auto row = weight.row(i);
        for (std::size_t j = 0; j < kept; ++j) result(i, j) = (removed > 0 ? result(i, j) : 0) + row[j];
      },
      64);
  return result;
}

}  // namespace lcomp
