#pragma once

#include <cstddef>
#include <cstdint>

namespace lcomp {

// The loops of uniform_grid.cpp, vectorised by Highway for the instruction set found at run time. Every instruction set
// computes the same float32 operations; sums run in sixteen lanes whatever the width of the vectors, so that results
// don't depend on it.

// codes[j] = clamp(round(weights[j] / scale + z - [z]) + [z], 0, highest), scale > 0, z: zero_point, [z]: the integer
// nearest to it.
void round_codes(const float* weights, std::size_t size, float scale, float zero_point, float highest,
                 std::uint8_t* codes);

// sum of column_weights[j] * (weights[j] - scale * (code_j - zero_point))^2 with the codes of round_codes;
// column_weights may be null.
float rounding_error(const float* weights, const float* column_weights, std::size_t size, float scale, float zero_point,
                     float highest);

}  // namespace lcomp
