#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/activation_quantization.h"

namespace lcomp {

// Activations [tokens, features] as 8-bit codes, with a scale and a zero point for each row; see
// formats/activation_quantization.h for what they mean. Filled by the functions below, which keep its memory.
struct QuantizedRows {
  std::size_t rows = 0, cols = 0;
  std::size_t stride = 0;  // bytes from row to row: cols, up to the next multiple of 64
  AlignedBuffer<std::uint8_t> codes;
  std::vector<float> scales;              // [rows]; NaN for a row that holds NaN or infinity, so that it stays visible
  std::vector<std::int32_t> zero_points;  // [rows]

  const std::uint8_t* row(std::size_t i) const { return codes.data() + i * stride; }
};

// Each row on its own grid, from its least and greatest value: input_grid(min, max, symmetric).
// x: [tokens, features]. Vectorised (Highway, chosen at run time) with the same result on every machine and for any
// number of threads. O(tokens * features).
void quantize_rows(ConstMatrixView x, bool symmetric, QuantizedRows& out);
// All rows on one given grid; values outside of it take its nearest end.
void quantize_rows(ConstMatrixView x, const InputGrid& grid, bool symmetric, QuantizedRows& out);

// out's columns are x's in another order: column j is column permutation[j] of x. permutation: [x.cols].
void permute_columns(const QuantizedRows& x, const std::vector<std::uint32_t>& permutation, QuantizedRows& out);

}  // namespace lcomp
