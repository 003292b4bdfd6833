#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/quantizers/feedback/hessian_factor.h"
#include "quantizers/feedback/blas_int.h"
#include "quantizers/feedback/float_product.h"
#include "quantizers/feedback/single_threaded_blas.h"

namespace lcomp {
namespace {

constexpr std::size_t tile = 128;

// The root of a tile, [size, size] with the given diagonal. Its rows and columns come back reversed, which turns
// A = R R^T into A~ = L L^T, which LAPACK knows. Empty when the tile is not positive definite.
template <class T>
std::vector<double> reversed_root(const T* matrix, const double* diagonal, std::size_t size, std::size_t stride) {
  std::vector<double> reversed(size * size);
  for (std::size_t i = 0; i < size; ++i) {
    reversed[(size - 1 - i) * size + (size - 1 - i)] = diagonal[i];
    for (std::size_t j = i + 1; j < size; ++j) {
      reversed[(size - 1 - i) * size + (size - 1 - j)] = static_cast<double>(matrix[i * stride + j]);
    }
  }
  // Row-major lower is column-major upper.
  if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', blas_int(size), reversed.data(), blas_int(size)) != 0) return {};
  return reversed;
}

// [size, size], the inverse of a tile's root, in its own order.
std::vector<double> inverse_of_tile(const std::vector<double>& reversed, std::size_t size) {
  std::vector<double> inverse(size * size, 0.0);
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = i; j < size; ++j) inverse[i * size + j] = reversed[(size - 1 - i) * size + (size - 1 - j)];
  }
  LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'L', 'N', blas_int(size), inverse.data(), blas_int(size));
  return inverse;
}

// panel = panel inverse^T. By the inverse and not by substitution, which OpenBLAS does at a quarter of the speed; in
// double, since what an inverse loses grows with the tile's condition.
template <class T>
void multiply_by_transposed_inverse(const std::vector<double>& inverse, std::size_t width, T* panel, std::size_t rows,
                                    std::size_t stride) {
  std::vector<double> product(rows * width);
  for (std::size_t i = 0; i < rows; ++i) std::copy_n(panel + i * stride, width, &product[i * width]);
  cblas_dtrmm(CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasNonUnit, blas_int(rows), blas_int(width), 1,
              inverse.data(), blas_int(width), product.data(), blas_int(width));
  for (std::size_t i = 0; i < rows; ++i) {
    std::transform(&product[i * width], &product[i * width] + width, panel + i * stride,
                   [](double value) { return static_cast<T>(value); });
  }
}

template <class T>
double sum_of_squares(const T* values, std::size_t count) {
  return std::transform_reduce(values, values + count, 0.0, std::plus<>(),
                               [](T value) { return static_cast<double>(value) * static_cast<double>(value); });
}

// c [m, n] -= a [m, k] b [n, k]^T
void subtract_product(const MatrixView<const double>& a, const MatrixView<const double>& b,
                      const MatrixView<double>& c) {
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas_int(c.rows()), blas_int(c.cols()), blas_int(a.cols()), -1,
              a.data(), blas_int(a.stride()), b.data(), blas_int(b.stride()), 1, c.data(), blas_int(c.stride()));
}

void subtract_product(ConstMatrixView a, ConstMatrixView b, MatrixView<float> c) {
  add_product_with_transposed(-1, a, b, c);
}

// With T = float only the products of tiles, nearly all of the work, are in float32; what decides stays in double: the
// roots of the tiles on the diagonal, the panels above them, and what is left of the diagonal.
template <class T>
bool root_in_place(T* matrix, std::size_t n, std::size_t stride, double most_inflation) {
  const auto at = [&](std::size_t i, std::size_t j) { return matrix + i * stride + j; };
  std::vector<double> variances(n);  // the diagonal
  for (std::size_t j = 0; j < n; ++j) variances[j] = static_cast<double>(*at(j, j));
  std::vector<double> left = variances;  // of it, after what the columns done so far explain
  for (std::size_t end = n; end > 0;) {
    const std::size_t begin = (end - 1) / tile * tile;
    const std::size_t width = end - begin;
    std::vector<double> inverse;
    {
      const SingleThreadedBlas alone;
      const std::vector<double> reversed = reversed_root(at(begin, begin), &left[begin], width, stride);
      if (reversed.empty()) return false;
      for (std::size_t i = begin; i < end; ++i) {
        const double* row = &reversed[(end - 1 - i) * width];
        for (std::size_t j = i; j < end; ++j) *at(i, j) = static_cast<T>(row[end - 1 - j]);
        const double pivot = row[end - 1 - i];
        if (!(variances[i] <= most_inflation * pivot * pivot)) return false;
      }
      inverse = inverse_of_tile(reversed, width);
    }
    // A_ik = R_ik R_kk^T
    parallel_chunks(0, begin, tile, [&](std::size_t first, std::size_t last) {
      const SingleThreadedBlas alone;
      multiply_by_transposed_inverse(inverse, width, at(first, begin), last - first, stride);
      for (std::size_t i = first; i < last; ++i) left[i] -= sum_of_squares(at(i, begin), width);
    });
    // A_ij -= R_ik R_jk^T for tile rows i <= j; the longest rows first.
    parallel_chunks(0, begin, tile, [&](std::size_t first, std::size_t last) {
      const SingleThreadedBlas alone;
      const MatrixView<const T> panel(at(first, begin), begin - first, width, stride);
      subtract_product(panel.rows_range(0, last - first), panel,
                       MatrixView<T>(at(first, first), last - first, begin - first, stride));
    });
    end = begin;
  }
  return true;
}

}  // namespace

bool upper_root(double* matrix, std::size_t n, std::size_t stride, double most_inflation) {
  return root_in_place(matrix, n, stride, most_inflation);
}

bool upper_root(float* matrix, std::size_t n, std::size_t stride, double most_inflation) {
  return root_in_place(matrix, n, stride, most_inflation);
}

}  // namespace lcomp
