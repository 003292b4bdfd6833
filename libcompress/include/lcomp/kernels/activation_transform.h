#pragma once

#include <cstddef>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"

namespace lcomp {

// What a product with the stored codes of a transformed weight (formats/transformed_weight.h) does to its inputs and
// outputs, in place of undoing the transform in the weight:
//   w^ x = S_out H_out^T (base x'),   x' = H_in S_in diag(c) x
// Rounding x' loses less than rounding x where the transform spreads outliers, which is what it is for (arXiv
// 2404.00456).
struct ActivationTransform {
  std::vector<float> input_factors;  // [cols], S_in diag(c); empty: x' = x
  std::size_t input_block = 0;       // order of H_in's blocks; 0: not rotated
  std::size_t output_block = 0;      // the same for H_out
  std::vector<float> output_signs;   // [rows], S_out; empty where output_block is 0

  bool changes_inputs() const { return !input_factors.empty(); }
  // Whether x' is the same for both.
  bool has_inputs_of(const ActivationTransform& other) const {
    return input_block == other.input_block && input_factors == other.input_factors;
  }
};

// That of a stored weight; nothing changes for one that is not transformed.
ActivationTransform activation_transform(const CompressedWeightView& weight);

// x' of x, both [tokens, cols]. In float32, as: factors, then H_in along each row. The same results on every machine,
// for any number of threads, for a token alone or among others. tokens * cols * log2(input_block) operations.
void transform_inputs(const ActivationTransform& transform, ConstMatrixView x, MatrixView<float> out);

// y = S_out H_out^T y' in place, [tokens, rows of the weight from first_row on]: whole blocks of output_block rows
// (asserted), which is not 0. In float32, as: H_out^T along each row, then the signs; the rest as above.
void restore_outputs(const ActivationTransform& transform, std::size_t first_row, MatrixView<float> y);

}  // namespace lcomp
