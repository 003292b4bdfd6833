#include "lcomp/quantizers/transforms/layer_transform.h"

#include <algorithm>
#include <cassert>

#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/hadamard.h"
#include "lcomp/formats/transformed_weight.h"

namespace lcomp {
namespace {

constexpr std::size_t slab_columns = 64;  // of products along columns

std::vector<float> random_signs(const Rng& rng, std::size_t size) {
  Rng stream = rng.split(std::uint64_t{size});
  std::vector<float> signs(size);
  for (float& sign : signs) sign = stream.next() >> 63 == 0 ? 1.0f : -1.0f;
  return signs;
}

// Rows that make a piece of work worth a thread.
std::size_t rows_at_once(std::size_t cols) { return divide_up(std::size_t{16384}, std::max<std::size_t>(cols, 1)); }

// H along columns, on all threads.
void rotate_columns(MatrixView<float> matrix, std::size_t block) {
  parallel_chunks(0, matrix.cols(), slab_columns, [&](std::size_t first, std::size_t last) {
    hadamard_along_columns(matrix.cols_range(first, last - first), block, HadamardProduct::plain);
  });
}

// S_in diag(c), or S_in diag(1/c).
std::vector<float> column_factors(const LayerTransform& transform, std::size_t cols, bool inverse) {
  std::vector<float> factors(cols, 1.0f);
  for (std::size_t j = 0; j < cols; ++j) {
    if (!transform.input_scales.empty()) {
      factors[j] = inverse ? 1 / transform.input_scales[j] : transform.input_scales[j];
    }
    if (transform.input_block > 0) factors[j] *= transform.input_signs[j];
  }
  return factors;
}

void mirror_upper_triangle(Matrix& matrix) {
  parallel_chunks(0, matrix.rows(), slab_columns, [&](std::size_t first, std::size_t last) {
    for (std::size_t j = 0; j < last; ++j) {
      for (std::size_t i = std::max(first, j + 1); i < last; ++i) matrix(i, j) = matrix(j, i);
    }
  });
}

}  // namespace

LayerTransform make_rotation(const RotationOptions& options, std::size_t rows, std::size_t cols) {
  const Rng rng(options.seed);
  const auto block_of = [&](std::size_t size, std::size_t at_most) {
    if (size == 0) return std::size_t{0};
    const std::size_t block = largest_hadamard_block(size, at_most == 0 ? size : at_most, options.paley);
    return block == 1 ? 0 : block;
  };
  LayerTransform transform;
  transform.input_block = block_of(cols, options.block);
  if (transform.input_block > 0) transform.input_signs = random_signs(rng.split("signs of inputs"), cols);
  if (options.outputs) transform.output_block = block_of(rows, options.output_block);
  if (transform.output_block > 0) transform.output_signs = random_signs(rng.split("signs of outputs"), rows);
  return transform;
}

Matrix transform_weight(ConstMatrixView weight, const LayerTransform& transform) {
  Matrix out(weight.rows(), weight.cols());
  const std::vector<float> factors = column_factors(transform, weight.cols(), true);
  parallel_chunks(0, out.rows(), rows_at_once(out.cols()), [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      const float sign = transform.output_block > 0 ? transform.output_signs[i] : 1.0f;
      const auto from = weight.row(i);
      const auto to = out.row(i);
      for (std::size_t j = 0; j < to.size(); ++j) to[j] = sign * from[j] * factors[j];
    }
    if (transform.input_block > 0) {
      hadamard_along_rows(out.view().rows_range(first, last - first), transform.input_block, HadamardProduct::plain);
    }
  });
  if (transform.output_block > 0) rotate_columns(out.view(), transform.output_block);
  return out;
}

Matrix transform_hessian(ConstMatrixView hessian, const LayerTransform& transform) {
  const std::size_t n = hessian.rows();
  assert(hessian.cols() == n);
  Matrix out(n, n);
  const std::vector<float> factors = column_factors(transform, n, false);
  parallel_chunks(0, n, rows_at_once(n), [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      const auto from = hessian.row(i);
      const auto to = out.row(i);
      for (std::size_t j = 0; j < n; ++j) to[j] = factors[i] * from[j] * factors[j];
    }
    if (transform.input_block > 0) {
      hadamard_along_rows(out.view().rows_range(first, last - first), transform.input_block, HadamardProduct::plain);
    }
  });
  if (transform.input_block > 0) rotate_columns(out.view(), transform.input_block);
  mirror_upper_triangle(out);
  return out;
}

std::vector<float> transform_input(std::span<const float> input, const LayerTransform& transform) {
  std::vector<float> out = column_factors(transform, input.size(), false);
  for (std::size_t j = 0; j < out.size(); ++j) out[j] *= input[j];
  if (transform.input_block > 0) {
    hadamard_along_rows({out.data(), 1, out.size()}, transform.input_block, HadamardProduct::plain);
  }
  return out;
}

TransformedStats::TransformedStats(const LayerStats& stats, const LayerTransform& transform, std::size_t cols)
    : view_(stats) {
  if (stats.hessian.size() > 0 && stats.hessian.rows() == cols && stats.hessian.cols() == cols) {
    hessian_ = transform_hessian(stats.hessian, transform);
    view_.hessian = hessian_.view();
  }
  if (stats.mean.size() == cols) {
    mean_ = transform_input(stats.mean, transform);
    view_.mean = mean_;
  }
  if (transform.input_block == 0 && stats.absolute_maximum.size() == transform.input_scales.size()) {
    absolute_maximum_ = transform_input(stats.absolute_maximum, transform);
  }
  if (transform.input_block > 0 || !transform.input_scales.empty()) view_.absolute_maximum = absolute_maximum_;
}

CompressedWeight undo_on_decoding(CompressedWeight base, const LayerTransform& transform) {
  if (transform.is_identity()) return base;
  TransformedWeight out;
  const WeightLayout shape = layout(base);
  out.rows = rows(shape);
  out.cols = cols(shape);
  out.transform = {!transform.input_scales.empty(), transform.input_block, transform.output_block};
  out.base = as_plain(std::move(base));
  for (const float scale : transform.input_scales) {
    const std::uint16_t bits = float_to_half(scale);
    assert(half_to_float(bits) == scale);
    out.input_scales.push_back(static_cast<std::uint8_t>(bits & 0xff));
    out.input_scales.push_back(static_cast<std::uint8_t>(bits >> 8));
  }
  if (transform.input_block > 0) out.input_signs = encode_signs(transform.input_signs);
  if (transform.output_block > 0) out.output_signs = encode_signs(transform.output_signs);
  return out;
}

}  // namespace lcomp
