#include "quantizers/feedback/error_feedback.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "quantizers/feedback/feedback_kernels.h"
#include "quantizers/feedback/float_product.h"

namespace lcomp {
namespace {

// Rows that one thread takes at a time: many make efficient matrix products, few give work to every thread.
std::size_t rows_of_slab(std::size_t rows) { return rows >= 1024 ? 256 : 128; }

constexpr std::size_t columns_together = 16;  // whose errors go to the rest of the block at once
constexpr std::size_t wide_stretch = 512;     // columns whose errors go to all later ones at once

// Columns whose errors reach those after the stretch only when it is finished: whole blocks and whole groups (a group's
// grid is fitted when it begins, to columns that have all errors before it), or else one block.
std::size_t stretch_of(const FeedbackOptions& options) {
  const std::size_t unit =
      options.group_size == 0 ? options.block_size : std::lcm(options.block_size, options.group_size);
  if (unit > 2 * wide_stretch) return options.block_size;
  return divide_up(wide_stretch, unit) * unit;
}

// The rows of one slab, transposed: [columns in the factor's order, rows padded with zeros].
class Slab {
 public:
  Slab(const HessianFactor& factor, const FeedbackOptions& options, std::size_t row_count)
      : factor_(factor),
        options_(options),
        cols_(factor.size()),
        rows_(row_count),
        stride_((row_count + row_padding - 1) / row_padding * row_padding),
        errors_(cols_, stride_),
        sums_(cols_, stride_),
        values_(stride_, 0.0f),
        decoded_(stride_, 0.0f) {
    sums_.fill(0);
  }

  void load(ConstMatrixView weight);  // [rows, cols] in its own order

  // False when the feedback overflows.
  bool run(ColumnRounder& rounder) {
    const std::size_t stretch = stretch_of(options_);
    for (std::size_t stretch_begin = 0; stretch_begin < cols_;
         stretch_begin += std::min(stretch, cols_ - stretch_begin)) {
      const std::size_t stretch_end = stretch_begin + std::min(stretch, cols_ - stretch_begin);
      for (std::size_t begin = stretch_begin; begin < stretch_end;
           begin += std::min(options_.block_size, stretch_end - begin)) {
        const std::size_t end = begin + std::min(options_.block_size, stretch_end - begin);
        update_groups_that_begin_in(begin, end);
        if (!round_block(rounder, begin, end)) return false;
        update_sums(begin, end, end, stretch == options_.block_size ? cols_ : stretch_end);
      }
      if (stretch != options_.block_size) update_sums(stretch_begin, stretch_end, stretch_end, cols_);
    }
    return true;
  }

 private:
  const float* root(std::size_t i, std::size_t j) const { return factor_.root.data() + i * cols_ + j; }
  float* errors(std::size_t j) { return errors_.data() + j * stride_; }
  float* sums(std::size_t j) { return sums_.data() + j * stride_; }

  void update_groups_that_begin_in(std::size_t begin, std::size_t end);
  bool round_block(ColumnRounder& rounder, std::size_t begin, std::size_t end);
  bool round_column(ColumnRounder& rounder, std::size_t j, std::size_t block_begin);
  void update_sums(std::size_t done_begin, std::size_t done_end, std::size_t begin, std::size_t end);

  const HessianFactor& factor_;
  const FeedbackOptions options_;
  const std::size_t cols_, rows_, stride_;
  Matrix errors_;   // e_j of the finished columns, w_j of the others
  Matrix sums_;     // S_j = sum of e_i R_ij over the finished columns i
  Matrix updated_;  // weights from the block's begin to the end of the last group that begins in it
  std::vector<float> values_, decoded_;
};

void Slab::load(ConstMatrixView weight) {
  std::vector<bool> dead(cols_, false);
  for (const std::uint32_t column : factor_.dead) dead[column] = true;
  // A few rows at a time, first their columns put in order, then turned; with a stride that is no power of two, so that
  // the rows don't fall on the same cache lines.
  const std::size_t stride = cols_ + row_padding + 1;
  std::vector<float> ordered(row_padding * stride, 0.0f);
  for (std::size_t first = 0; first < rows_; first += row_padding) {
    const std::size_t count = std::min(row_padding, rows_ - first);
    for (std::size_t r = 0; r < count; ++r) {
      const float* row = weight.row(first + r).data();
      for (std::size_t j = 0; j < cols_; ++j) {
        const std::uint32_t column = factor_.order[j];
        ordered[r * stride + j] = dead[column] ? 0 : row[column];
      }
    }
    std::fill(ordered.begin() + static_cast<std::ptrdiff_t>(count * stride), ordered.end(), 0.0f);
    for (std::size_t j = 0; j < cols_; ++j) {
      for (std::size_t r = 0; r < row_padding; ++r) errors(j)[first + r] = ordered[r * stride + j];
    }
  }
}

// W + S R_BB^-1 = W + X. X R_BB = S is solved for -X, so that what each column takes from the later ones is added.
void Slab::update_groups_that_begin_in(std::size_t begin, std::size_t end) {
  if (options_.group_size == 0) return;
  const std::size_t last_begin = (end - 1) / options_.group_size * options_.group_size;
  if (last_begin < begin) return;
  const std::size_t groups_end = last_begin + std::min(options_.group_size, cols_ - last_begin);
  const std::size_t count = groups_end - begin;
  if (updated_.rows() < count) updated_ = Matrix(count, stride_);
  const auto solved = [&](std::size_t j) { return updated_.data() + (j - begin) * stride_; };
  std::copy_n(sums(begin), count * stride_, updated_.data());
  for (std::size_t first = begin; begin > 0 && first < groups_end;) {
    const std::size_t last = first + std::min(columns_together, groups_end - first);
    for (std::size_t j = first; j < last; ++j) {
      const float factor = -1 / *root(j, j);
      std::transform(solved(j), solved(j) + stride_, solved(j), [factor](float sum) { return factor * sum; });
      push_errors(solved(j), 1, root(j, j + 1), cols_, last - j - 1, stride_, stride_, solved(j + 1));
    }
    push_errors(solved(first), last - first, root(first, last), cols_, groups_end - last, stride_, stride_,
                solved(last));
    first = last;
  }
  add_scaled(errors(begin), updated_.data(), -1, count * stride_, updated_.data());
}

bool Slab::round_block(ColumnRounder& rounder, std::size_t begin, std::size_t end) {
  for (std::size_t first = begin; first < end; first += std::min(columns_together, end - first)) {
    const std::size_t last = first + std::min(columns_together, end - first);
    for (std::size_t j = first; j < last; ++j) {
      if (!round_column(rounder, j, begin)) return false;
      if (j + 1 < last) push_errors(errors(j), 1, root(j, j + 1), cols_, last - j - 1, stride_, stride_, sums(j + 1));
    }
    if (last < end) {
      push_errors(errors(first), last - first, root(first, last), cols_, end - last, stride_, stride_, sums(last));
    }
  }
  return true;
}

bool Slab::round_column(ColumnRounder& rounder, std::size_t j, std::size_t block_begin) {
  if (options_.group_size > 0 && j % options_.group_size == 0) {
    const std::size_t columns = std::min(options_.group_size, cols_ - j);
    rounder.fit(j, {updated_.data() + (j - block_begin) * stride_, columns, rows_, stride_});
  }
  add_scaled(errors(j), sums(j), 1 / *root(j, j), stride_, values_.data());
  rounder.round(j, {values_.data(), rows_}, {decoded_.data(), rows_});
  return subtract(errors(j), decoded_.data(), stride_, errors(j));
}

// Adds what columns done_begin ... done_end - 1 give to the sums of columns begin ... end - 1.
void Slab::update_sums(std::size_t done_begin, std::size_t done_end, std::size_t begin, std::size_t end) {
  if (begin >= end) return;
  add_transposed_product({root(done_begin, begin), done_end - done_begin, end - begin, cols_},
                         {errors(done_begin), done_end - done_begin, stride_}, {sums(begin), end - begin, stride_});
}

}  // namespace

void ColumnRounder::fit(std::size_t /*position*/, ConstMatrixView /*columns*/) {}

void round_with_feedback(ConstMatrixView weight, const HessianFactor& factor, const FeedbackOptions& options,
                         const MakeColumnRounder& make_rounder, const std::string& component) {
  assert(weight.cols() == factor.size() && options.block_size > 0);
  parallel_chunks(0, weight.rows(), rows_of_slab(weight.rows()), [&](std::size_t first, std::size_t last) {
    Slab slab(factor, options, last - first);
    slab.load(weight.rows_range(first, last - first));
    const std::unique_ptr<ColumnRounder> rounder = make_rounder(first, last - first);
    if (!slab.run(*rounder)) {
      throw Error({component, "weights that overflow when errors are fed back",
                   "a Hessian that is less nearly singular", "raise the damping, or calibrate on more tokens"});
    }
    rounder->finish();
  });
}

}  // namespace lcomp
