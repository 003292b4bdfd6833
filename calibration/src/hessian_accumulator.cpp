#include "lcomp/calibration/hessian_accumulator.h"

#include <omp.h>

#include <algorithm>
#include <cassert>
#include <oneapi/dnnl/dnnl.hpp>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"

namespace lcomp {
namespace {

constexpr std::size_t rows_per_sum = 2048;  // of which products are summed in float32
constexpr std::size_t rows_per_call = 512;  // two panels of so many rows stay in a core's cache
constexpr std::size_t wide_panel = 192;     // multiples of 48, oneDNN's unit
constexpr std::size_t narrow_panel = 96;    // for small matrices, where tiles on the diagonal are half wasted
constexpr std::size_t few_panels = 6;

std::size_t panel_count(std::size_t in_features) {
  return std::max(divide_up(in_features, wide_panel), std::min(few_panels, divide_up(in_features, narrow_panel)));
}

std::size_t panel_width(std::size_t in_features) {
  return divide_up(divide_up(in_features, panel_count(in_features)), std::size_t{16}) * 16;
}

std::size_t tile_count(std::size_t panels) { return panels * (panels + 1) / 2; }

// product = a^T b, or += with `accumulate`; a, b: [rows, width], product: [width, width].
void multiply_transposed(std::size_t rows, std::size_t width, const float* a, const float* b, bool accumulate,
                         float* product) {
  const auto n = static_cast<dnnl_dim_t>(width), k = static_cast<dnnl_dim_t>(rows);
  if (dnnl_sgemm('T', 'N', n, n, k, 1, a, n, b, n, accumulate ? 1.0F : 0.0F, product, n) != dnnl_success) {
    throw Error(ErrorKind::system, {"oneDNN", "a matrix product failed", "", ""});
  }
}

}  // namespace

HessianAccumulator::HessianAccumulator(std::size_t in_features)
    : in_features_(in_features), panels_(panel_count(in_features)), width_(panel_width(in_features)) {
  assert(in_features > 0);
  rows_ = AlignedBuffer<float>(panels_ * rows_per_sum * width_);
  sums_ = AlignedBuffer<double>(tile_count(panels_) * width_ * width_);
  std::ranges::fill(rows_.span(), 0.0F);  // the padding stays
  std::ranges::fill(sums_.span(), 0.0);
}

std::size_t HessianAccumulator::memory(std::size_t in_features) {
  const std::size_t panels = panel_count(in_features), width = panel_width(in_features);
  return panels * rows_per_sum * width * sizeof(float) + tile_count(panels) * width * width * sizeof(double);
}

void HessianAccumulator::add(ConstMatrixView input) {
  assert(input.cols() == in_features_);
  for (std::size_t begin = 0; begin < input.rows();) {
    const std::size_t count = std::min(input.rows() - begin, rows_per_sum - gathered_);
    gather(input.rows_range(begin, count));
    begin += count;
    if (gathered_ == rows_per_sum) add_products();
  }
  tokens_ += input.rows();
}

void HessianAccumulator::gather(ConstMatrixView rows) {
  parallel_for(0, panels_, [&](std::size_t panel) {
    const std::size_t first = panel * width_, count = std::min(width_, in_features_ - std::min(in_features_, first));
    float* out = rows_.data() + (panel * rows_per_sum + gathered_) * width_;
    for (std::size_t i = 0; i < rows.rows(); ++i) std::copy_n(rows.row(i).data() + first, count, out + i * width_);
  });
  gathered_ += rows.rows();
}

void HessianAccumulator::add_products() {
  if (gathered_ == 0) return;
  const std::size_t tile_size = width_ * width_;
  const auto threads = static_cast<std::size_t>(std::max(1, omp_get_max_threads()));
  if (products_.size() < threads * tile_size) products_ = AlignedBuffer<float>(threads * tile_size);
  const std::size_t tiles = tile_count(panels_);
  // Within a parallel loop oneDNN uses one thread. The index beyond the last tile keeps the loop parallel when there is
  // one tile only: on several threads, oneDNN may sum in another order.
  parallel_for(0, std::max<std::size_t>(2, tiles), [&](std::size_t tile) {
    if (tile >= tiles) return;
    std::size_t i = 0;
    while (tile_index(i + 1, 0) <= tile) ++i;
    const std::size_t j = tile - tile_index(i, 0);
    float* product = products_.data() + static_cast<std::size_t>(omp_get_thread_num()) * tile_size;
    for (std::size_t begin = 0; begin < gathered_; begin += rows_per_call) {
      multiply_transposed(std::min(rows_per_call, gathered_ - begin), width_,
                          rows_.data() + (i * rows_per_sum + begin) * width_,
                          rows_.data() + (j * rows_per_sum + begin) * width_, begin != 0, product);
    }
    double* sums = sums_.data() + tile * tile_size;
    for (std::size_t e = 0; e < tile_size; ++e) sums[e] += static_cast<double>(product[e]);
  });
  gathered_ = 0;
}

void HessianAccumulator::lower_triangle(std::span<float> out) {
  assert(out.size() == triangle_size(in_features_));
  add_products();
  const double factor = tokens_ == 0 ? 0.0 : 2.0 / static_cast<double>(tokens_);
  parallel_for(
      0, in_features_,
      [&](std::size_t row) {
        float* target = out.data() + triangle_size(row);
        const std::size_t i = row / width_;
        for (std::size_t j = 0; j <= i; ++j) {
          const double* sums = sums_.data() + (tile_index(i, j) * width_ + row % width_) * width_;
          const std::size_t count = std::min(width_, row + 1 - j * width_);
          for (std::size_t c = 0; c < count; ++c) target[j * width_ + c] = static_cast<float>(factor * sums[c]);
        }
      },
      16);
}

Matrix HessianAccumulator::hessian() {
  AlignedBuffer<float> triangle(triangle_size(in_features_));
  lower_triangle(triangle.span());
  return symmetric_matrix(triangle.span(), in_features_);
}

Matrix symmetric_matrix(std::span<const float> lower_triangle, std::size_t in_features) {
  assert(lower_triangle.size() == HessianAccumulator::triangle_size(in_features));
  Matrix matrix(in_features, in_features);
  constexpr std::size_t block = 64;  // rows and columns that are mirrored together, for the cache's sake
  parallel_chunks(0, in_features, block, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::copy_n(lower_triangle.data() + HessianAccumulator::triangle_size(i), i + 1, matrix.row(i).data());
    }
    for (std::size_t low = begin; low < in_features; low += block) {
      for (std::size_t i = low; i < std::min(in_features, low + block); ++i) {
        const float* row = lower_triangle.data() + HessianAccumulator::triangle_size(i);
        for (std::size_t j = begin; j < std::min(end, i); ++j) matrix(j, i) = row[j];
      }
    }
  });
  return matrix;
}

}  // namespace lcomp
