#pragma once

#include <cstddef>

namespace lcomp {

// The inner loops of error_feedback.cpp, vectorised by Highway for the instruction set found at run time. Arrays of
// `rows` floats each; sums use fused multiply-add where the machine has it.

// What a slab's rows are padded to: every row goes through whole vectors, wherever it lies in its slab.
inline constexpr std::size_t row_padding = 16;

// out[r] = weights[r] + sums[r] * factor
void add_scaled(const float* weights, const float* sums, float factor, std::size_t rows, float* out);

// errors[r] = weights[r] - decoded[r]; errors may be weights. False when one is NaN or infinite.
bool subtract(const float* weights, const float* decoded, std::size_t rows, float* errors);

// For columns c of [0, columns): sums[c * stride + r] += sum_i errors[i * stride + r] * root[i * root_stride + c], i
// over [0, count).
void push_errors(const float* errors, std::size_t count, const float* root, std::size_t root_stride,
                 std::size_t columns, std::size_t rows, std::size_t stride, float* sums);

}  // namespace lcomp
