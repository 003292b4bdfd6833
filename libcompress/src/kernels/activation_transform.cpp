#include "lcomp/kernels/activation_transform.h"

#include <algorithm>
#include <cassert>

#include "lcomp/core/parallel.h"
#include "lcomp/formats/hadamard.h"
#include "lcomp/formats/transformed_weight.h"

namespace lcomp {
namespace {

// Rows that make a piece of work worth a thread.
std::size_t rows_together(std::size_t cols) { return std::max<std::size_t>(1, 16384 / std::max<std::size_t>(1, cols)); }

}  // namespace

ActivationTransform activation_transform(const CompressedWeightView& weight) {
  ActivationTransform transform;
  const auto* transformed = std::get_if<TransformedView>(&weight);
  if (transformed == nullptr) return transform;
  transform.input_factors = column_factors(*transformed);
  transform.input_block = transformed->transform.input_block;
  transform.output_block = transformed->transform.output_block;
  if (transform.output_block > 0) transform.output_signs = decode_signs(transformed->output_signs, transformed->rows);
  return transform;
}

void transform_inputs(const ActivationTransform& transform, ConstMatrixView x, MatrixView<float> out) {
  assert(x.rows() == out.rows() && x.cols() == out.cols() && x.cols() == transform.input_factors.size());
  parallel_chunks(0, x.rows(), rows_together(x.cols()), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const float* from = x.row(i).data();
      float* to = out.row(i).data();
      for (std::size_t j = 0; j < x.cols(); ++j) to[j] = from[j] * transform.input_factors[j];
    }
    if (transform.input_block > 0) {
      hadamard_along_rows(out.rows_range(begin, end - begin), transform.input_block, HadamardProduct::plain);
    }
  });
}

void restore_outputs(const ActivationTransform& transform, std::size_t first_row, MatrixView<float> y) {
  assert(transform.output_block > 0 && first_row % transform.output_block == 0);
  const float* signs = transform.output_signs.data() + first_row;
  parallel_chunks(0, y.rows(), rows_together(y.cols()), [&](std::size_t begin, std::size_t end) {
    hadamard_along_rows(y.rows_range(begin, end - begin), transform.output_block, HadamardProduct::transposed);
    for (std::size_t i = begin; i < end; ++i) {
      float* row = y.row(i).data();
      for (std::size_t o = 0; o < y.cols(); ++o) row[o] *= signs[o];
    }
  });
}

}  // namespace lcomp
