#include "quantizers/tables/alternating_levels.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "lcomp/core/eigen_view.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "quantizers/feedback/feedback_kernels.h"
#include "quantizers/feedback/float_product.h"
#include "quantizers/tables/rank_kernels.h"
#include "quantizers/tables/sorted_weights.h"

namespace lcomp {
namespace {

constexpr std::size_t rows_of_level_slab = 128;
constexpr std::size_t columns_of_block = 64;  // between updates of all columns' gradients
constexpr std::size_t columns_of_tile = 128;  // of H in the normal equations, so that a tile stays in the cache

// Some rows, transposed [cols, rows padded with zeros], with the gradients (w - w^) H of all their columns.
class LevelSlab {
 public:
  LevelSlab(ConstMatrixView weight, ConstMatrixView hessian, LevelRows& quantized, std::size_t first_row,
            std::size_t row_count)
      : hessian_(hessian),
        quantized_(quantized),
        first_row_(first_row),
        rows_(row_count),
        cols_(weight.cols()),
        stride_((row_count + row_padding - 1) / row_padding * row_padding),
        decoded_(cols_, stride_),
        gradients_(cols_, stride_) {
    decoded_.fill(0);
    Matrix errors(cols_, stride_);
    errors.fill(0);
    for (std::size_t r = 0; r < rows_; ++r) {
      const auto row = weight.row(first_row + r);
      for (std::size_t j = 0; j < cols_; ++j) {
        decoded_(j, r) = levels(r)[ranks(r)[j]];
        errors(j, r) = row[j] - decoded_(j, r);
      }
    }
    gradients_.fill(0);
    add_by_hessian(0, cols_, errors.data());
  }

  void descend() {
    const std::size_t most = std::min(columns_of_block, cols_);
    Matrix block(most, stride_);    // gradients of the block's columns, up to date
    Matrix changes(most, stride_);  // w^ before - after
    for (std::size_t begin = 0; begin < cols_; begin += most) {
      const std::size_t end = std::min(begin + most, cols_);
      std::copy_n(gradients_.row(begin).data(), (end - begin) * stride_, block.data());
      changes.fill(0);
      bool any_change = false;
      for (std::size_t j = begin; j < end; ++j) {
        if (!choose_levels(j, block.row(j - begin), changes.row(j - begin))) continue;
        any_change = true;
        if (j + 1 < end) {
          push_errors(changes.row(j - begin).data(), 1, hessian_.row(j).data() + j + 1, hessian_.stride(), end - j - 1,
                      stride_, stride_, block.row(j + 1 - begin).data());
        }
      }
      if (any_change) add_by_hessian(begin, end, changes.data());
    }
  }

  void solve_levels();

 private:
  std::span<float> levels(std::size_t r) { return quantized_.levels.row(first_row_ + r); }
  std::span<std::uint8_t> ranks(std::size_t r) {
    return std::span(quantized_.ranks).subspan((first_row_ + r) * cols_, cols_);
  }

  // gradients += H[:, begin .. end) values; H is symmetric
  void add_by_hessian(std::size_t begin, std::size_t end, const float* values) {
    add_transposed_product(hessian_.rows_range(begin, end - begin), {values, end - begin, stride_}, gradients_.view());
  }

  // The best level of each row's column j while the others stay. True when one changed.
  bool choose_levels(std::size_t j, std::span<const float> gradients, std::span<float> changes) {
    const float curvature = hessian_(j, j);
    bool changed = false;
    float* now = decoded_.row(j).data();
    for (std::size_t r = 0; r < rows_; ++r) {
      const std::span<const float> of_row = levels(r);
      const float target = now[r] + gradients[r] / curvature;
      const std::size_t rank = nearest_level(of_row, target);
      const float then = of_row[rank];
      // Equal levels, and a gain that rounding may have made, are no reason to change.
      if (!(std::abs(then - target) < 0.999999f * std::abs(now[r] - target))) continue;
      changes[r] = now[r] - then;
      now[r] = then;
      ranks(r)[j] = static_cast<std::uint8_t>(rank);
      changed = true;
    }
    return changed;
  }

  // Adds what columns [begin, end) of H contribute to P^T H P of a row, [levels, levels]; only entries of H above the
  // diagonal, which count twice, and half of those on it.
  void add_to_normal_matrix(std::size_t r, std::size_t begin, std::size_t end, std::span<float> sums,
                            std::span<double> normal);
  void update_row(std::size_t r, MatrixView<const double> normal);

  ConstMatrixView hessian_;
  LevelRows& quantized_;
  const std::size_t first_row_, rows_, cols_, stride_;
  Matrix decoded_;    // w^
  Matrix gradients_;  // (w - w^) H
};

void LevelSlab::add_to_normal_matrix(std::size_t r, std::size_t begin, std::size_t end, std::span<float> sums,
                                     std::span<double> normal) {
  const std::size_t k = quantized_.levels.cols();
  const std::size_t width = end - begin;
  const auto of_row = ranks(r);
  std::fill(sums.begin(), sums.end(), 0.0f);
  add_rows_by_rank(hessian_.data() + begin, hessian_.stride(), of_row.data(), begin, width, sums.data());
  for (std::size_t j = begin; j < end; ++j) {
    float* sum = &sums[of_row[j] * width];
    sum[j - begin] += 0.5f * hessian_(j, j);
    for (std::size_t c = j + 1; c < end; ++c) sum[c - begin] += hessian_(j, c);
  }
  for (std::size_t a = 0; a < k; ++a) {
    for (std::size_t c = 0; c < width; ++c) {
      normal[a * k + of_row[begin + c]] += static_cast<double>(sums[a * width + c]);
    }
  }
}

// The levels in ascending order, and the ranks that mean the same ones.
void sort_levels(std::span<float> levels, std::span<std::uint8_t> ranks) {
  std::vector<std::size_t> order(levels.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return levels[a] < levels[b]; });
  std::vector<float> sorted(levels.size());
  std::vector<std::uint8_t> rank_of(levels.size());
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    sorted[rank] = levels[order[rank]];
    rank_of[order[rank]] = static_cast<std::uint8_t>(rank);
  }
  std::copy(sorted.begin(), sorted.end(), levels.begin());
  for (std::uint8_t& rank : ranks) rank = rank_of[rank];
}

void LevelSlab::update_row(std::size_t r, MatrixView<const double> normal) {
  const auto matrix = as_eigen(normal);  // P^T H P [levels, levels]
  const auto identity = Eigen::MatrixXd::Identity(matrix.rows(), matrix.cols());
  const Eigen::LLT<Eigen::MatrixXd> factor(matrix + 1e-6 * matrix.diagonal().mean() * identity);
  if (factor.info() != Eigen::Success) return;
  Eigen::VectorXd gradient = Eigen::VectorXd::Zero(matrix.rows());  // P^T g
  for (std::size_t j = 0; j < cols_; ++j) gradient[ranks(r)[j]] += static_cast<double>(gradients_(j, r));
  const Eigen::VectorXd now = as_eigen(levels(r)).cast<double>();
  const Eigen::VectorXf moved = (now + factor.solve(gradient)).cast<float>().unaryExpr([](float level) {
    return half_to_float(float_to_half(level));
  });
  const Eigen::VectorXd step = moved.cast<double>() - now;
  const double change = step.dot(matrix * step - 2 * gradient);  // of the row's error
  if (!(change < 0)) return;
  as_eigen(levels(r)) = moved;
  sort_levels(levels(r), ranks(r));
}

void LevelSlab::solve_levels() {
  const std::size_t k = quantized_.levels.cols();
  std::vector<float> sums(k * columns_of_tile);
  std::vector<double> normal(rows_ * k * k, 0.0);
  for (std::size_t begin = 0; begin < cols_; begin += columns_of_tile) {
    const std::size_t end = std::min(begin + columns_of_tile, cols_);
    for (std::size_t r = 0; r < rows_; ++r) {
      add_to_normal_matrix(r, begin, end, std::span(sums).first(k * (end - begin)),
                           std::span(normal).subspan(r * k * k, k * k));
    }
  }
  for (std::size_t r = 0; r < rows_; ++r) {
    const MatrixView<double> matrix(&normal[r * k * k], k, k);
    as_eigen(matrix) += as_eigen(matrix).transpose().eval();
    update_row(r, matrix);
  }
}

template <typename Step>
void for_each_slab(ConstMatrixView weight, ConstMatrixView hessian, LevelRows& quantized, const Step& step) {
  assert(weight.rows() == quantized.rows() && weight.cols() == quantized.cols);
  assert(hessian.rows() == weight.cols() && hessian.cols() == weight.cols());
  parallel_chunks(0, weight.rows(), rows_of_level_slab, [&](std::size_t first, std::size_t last) {
    LevelSlab slab(weight, hessian, quantized, first, last - first);
    step(slab);
  });
}

}  // namespace

void improve_codes(ConstMatrixView weight, ConstMatrixView hessian, std::size_t cycles, LevelRows& quantized) {
  for_each_slab(weight, hessian, quantized, [cycles](LevelSlab& slab) {
    for (std::size_t cycle = 0; cycle < cycles; ++cycle) slab.descend();
  });
}

void improve_levels(ConstMatrixView weight, ConstMatrixView hessian, LevelRows& quantized) {
  for_each_slab(weight, hessian, quantized, [](LevelSlab& slab) { slab.solve_levels(); });
}

}  // namespace lcomp
