#include "lcomp/quantizers/cost/proxy_error.h"

#include <cblas.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "lcomp/core/eigen_view.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "quantizers/feedback/blas_int.h"
#include "quantizers/feedback/single_threaded_blas.h"

namespace lcomp {
namespace {

constexpr std::size_t slab_rows = 256;
constexpr std::size_t tile = 256;

// sum over rows of e H e^T for one slab of rows, as sum over tiles of columns B of (E_B (H_B,B.. doubled beyond B)) . E
double slab_error(ConstMatrixView weight, ConstMatrixView decoded, ConstMatrixView hessian) {
  const std::size_t rows = weight.rows();
  const std::size_t cols = weight.cols();
  AlignedBuffer<double> errors(rows * cols);
  as_eigen(MatrixView(errors.data(), rows, cols)) = as_eigen(weight).cast<double>() - as_eigen(decoded).cast<double>();
  AlignedBuffer<double> hessian_tile(tile * tile);
  AlignedBuffer<double> product(rows * tile);
  double sum = 0;
  for (std::size_t k = 0; k < cols; k += tile) {
    const std::size_t width = std::min(tile, cols - k);
    std::fill_n(product.data(), rows * width, 0.0);
    for (std::size_t i = 0; i <= k; i += tile) {
      const std::size_t height = std::min(tile, cols - i);
      const double times = i == k ? 1 : 2;
      as_eigen(MatrixView(hessian_tile.data(), height, width)) =
          times * as_eigen(hessian.rows_range(i, height).cols_range(k, width)).cast<double>();
      cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas_int(rows), blas_int(width), blas_int(height), 1,
                  errors.data() + i, blas_int(cols), hessian_tile.data(), blas_int(width), 1, product.data(),
                  blas_int(width));
    }
    for (std::size_t i = 0; i < rows; ++i) {
      sum += cblas_ddot(blas_int(width), &product[i * width], 1, &errors[i * cols + k], 1);
    }
  }
  return sum;
}

}  // namespace

double proxy_error(ConstMatrixView weight, ConstMatrixView decoded, ConstMatrixView hessian) {
  if (weight.rows() != decoded.rows() || weight.cols() != decoded.cols() || hessian.rows() != weight.cols() ||
      hessian.cols() != weight.cols()) {
    throw Error({"proxy error",
                 fmt::format("a weight of {} x {}, its replacement of {} x {} and a Hessian of {} x {}", weight.rows(),
                             weight.cols(), decoded.rows(), decoded.cols(), hessian.rows(), hessian.cols()),
                 "two weights of one shape and a Hessian of their columns", ""});
  }
  std::vector<double> of_slabs((weight.rows() + slab_rows - 1) / slab_rows, 0.0);
  parallel_chunks(0, weight.rows(), slab_rows, [&](std::size_t first, std::size_t last) {
    const SingleThreadedBlas alone;
    of_slabs[first / slab_rows] =
        slab_error(weight.rows_range(first, last - first), decoded.rows_range(first, last - first), hessian);
  });
  return std::accumulate(of_slabs.begin(), of_slabs.end(), 0.0);
}

}  // namespace lcomp
