#include "lcomp/quantizers/feedback/hessian_factor.h"

#include <fmt/format.h>
#include <lapacke.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/value_range.h"

namespace lcomp {
namespace {

constexpr std::size_t rows_of_chunk = 64;
constexpr double most_inflation_in_float32 = 200;

void check(ConstMatrixView hessian, const HessianFactorOptions& options, const std::string& component) {
  if (!(options.damping >= 0 && options.damping <= 1)) {
    throw Error({component, fmt::format("damping {}", options.damping), "0 to 1", ""});
  }
  if (hessian.rows() != hessian.cols() || hessian.rows() == 0) {
    throw Error({component, fmt::format("a Hessian of {} x {}", hessian.rows(), hessian.cols()), "a square one", ""});
  }
  parallel_chunks(0, hessian.rows(), rows_of_chunk, [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      const bool finite = value_range(hessian.row(i)).finite;
      if (finite && hessian(i, i) >= 0) continue;
      throw Error({component,
                   fmt::format("a Hessian with {} in row {}", finite ? "a negative diagonal" : "NaN or infinity", i),
                   "a positive semidefinite one", "calibrate again"});
    }
  });
}

// H[order, order] + added * I on and above the diagonal, rows `stride` apart.
template <class T>
void copy_damped(ConstMatrixView hessian, const HessianFactor& factor, std::span<const double> diagonal, double added,
                 T* out, std::size_t stride) {
  const std::size_t n = hessian.rows();
  parallel_chunks(0, n, rows_of_chunk, [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      const float* row = hessian.row(factor.order[i]).data();
      out[i * stride + i] = static_cast<T>(diagonal[factor.order[i]] + added);
      for (std::size_t j = i + 1; j < n; ++j) out[i * stride + j] = static_cast<T>(row[factor.order[j]]);
    }
  });
}

template <class T>
void copy_root(const T* in, std::size_t stride, Matrix& root) {
  parallel_chunks(0, root.rows(), rows_of_chunk, [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      float* row = root.row(i).data();
      std::fill_n(row, i, 0.0f);
      for (std::size_t j = i; j < root.cols(); ++j) row[j] = static_cast<float>(in[i * stride + j]);
    }
  });
}

// Finds factor.root with factor.damping. False when upper_root finds none.
template <class T>
bool find_root(ConstMatrixView hessian, std::span<const double> diagonal, double mean, double most_inflation,
               HessianFactor& factor) {
  const std::size_t n = hessian.rows();
  const std::size_t stride = n + 8;  // rows a power of two apart would fall on the same cache lines
  AlignedBuffer<T> matrix(n * stride);
  copy_damped(hessian, factor, diagonal, factor.damping * mean, matrix.data(), stride);
  if (!upper_root(matrix.data(), n, stride, most_inflation)) return false;
  factor.root = Matrix(n, n);
  copy_root(matrix.data(), stride, factor.root);
  return true;
}

}  // namespace

HessianFactor factor_hessian(ConstMatrixView hessian, const HessianFactorOptions& options,
                             const std::string& component) {
  check(hessian, options, component);
  const std::size_t n = hessian.rows();
  HessianFactor factor;
  std::vector<double> diagonal(n);
  for (std::size_t j = 0; j < n; ++j) {
    const bool dead = hessian(j, j) == 0;
    if (dead) factor.dead.push_back(static_cast<std::uint32_t>(j));
    diagonal[j] = dead ? 1.0 : static_cast<double>(hessian(j, j));
  }
  factor.order.resize(n);
  std::iota(factor.order.begin(), factor.order.end(), 0u);
  if (options.act_order) {
    assert(options.importance.empty() || options.importance.size() == n);
    const std::span<const double> by = options.importance.empty() ? diagonal : options.importance;
    std::stable_sort(factor.order.begin(), factor.order.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return by[a] > by[b]; });
  }
  const double mean = std::accumulate(diagonal.begin(), diagonal.end(), 0.0) / static_cast<double>(n);
  for (factor.damping = options.damping;;) {
    if (find_root<float>(hessian, diagonal, mean, most_inflation_in_float32, factor) ||
        find_root<double>(hessian, diagonal, mean, std::numeric_limits<double>::infinity(), factor)) {
      return factor;
    }
    if (factor.damping >= 1) {
      throw Error({component, fmt::format("a Hessian that is not positive definite with damping {}", factor.damping),
                   "a positive semidefinite one", "calibrate again, on more tokens"});
    }
    factor.damping = std::clamp(10 * factor.damping, 1.0e-4, 1.0);
    factor.warning = fmt::format("{}: the Hessian is not positive definite with damping {}; raised to {}", component,
                                 options.damping, factor.damping);
  }
}

Matrix inverse_root(const HessianFactor& factor) {
  Matrix inverse = factor.root.clone();
  const int n = static_cast<int>(factor.size());
  LAPACKE_strtri_work(LAPACK_COL_MAJOR, 'L', 'N', n, inverse.data(), n);  // row-major upper; the diagonal is positive
  return inverse;
}

}  // namespace lcomp
