#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <vector>

#include "blas_int.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/quantizers/hessian_factor.h"
#include "single_threaded_blas.h"

namespace lcomp {
namespace {

constexpr std::size_t tile = 256;

// The diagonal tile's root. Reversing rows and columns turns A = R R^T into A~ = L L^T, which LAPACK knows; row-major
// lower is its column-major upper.
bool root_of_tile(double* matrix, std::size_t size, std::size_t stride) {
  std::vector<double> reversed(size * size);
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = i; j < size; ++j) reversed[(size - 1 - i) * size + (size - 1 - j)] = matrix[i * stride + j];
  }
  if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', blas_int(size), reversed.data(), blas_int(size)) != 0) return false;
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = i; j < size; ++j) matrix[i * stride + j] = reversed[(size - 1 - i) * size + (size - 1 - j)];
  }
  return true;
}

// [size, size], the inverse of a triangular tile.
std::vector<double> inverse_of_tile(const double* root, std::size_t size, std::size_t stride) {
  std::vector<double> inverse(size * size, 0.0);
  for (std::size_t i = 0; i < size; ++i) std::copy_n(root + i * stride + i, size - i, &inverse[i * size + i]);
  LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'L', 'N', blas_int(size), inverse.data(), blas_int(size));
  return inverse;
}

}  // namespace

bool upper_root(double* matrix, std::size_t n, std::size_t stride) {
  const auto at = [&](std::size_t i, std::size_t j) { return matrix + i * stride + j; };
  const int ld = blas_int(stride);
  for (std::size_t end = n; end > 0;) {
    const std::size_t begin = (end - 1) / tile * tile;
    const std::size_t width = end - begin;
    std::vector<double> inverse;
    {
      const SingleThreadedBlas alone;
      if (!root_of_tile(at(begin, begin), width, stride)) return false;
      inverse = inverse_of_tile(at(begin, begin), width, stride);
    }
    // A_ik = R_ik R_kk^T. By the inverse and not by substitution, which OpenBLAS does at a quarter of the speed.
    parallel_chunks(0, begin, tile, [&](std::size_t first, std::size_t last) {
      const SingleThreadedBlas alone;
      cblas_dtrmm(CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasNonUnit, blas_int(last - first),
                  blas_int(width), 1, inverse.data(), blas_int(width), at(first, begin), ld);
    });
    // A_ij -= R_ik R_jk^T for tile rows i <= j; the longest rows first.
    parallel_chunks(0, begin, tile, [&](std::size_t first, std::size_t last) {
      const SingleThreadedBlas alone;
      cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas_int(last - first), blas_int(begin - first),
                  blas_int(width), -1, at(first, begin), ld, at(first, begin), ld, 1, at(first, first), ld);
    });
    end = begin;
  }
  return true;
}

}  // namespace lcomp
