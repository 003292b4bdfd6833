#pragma once

#include <cstddef>
#include <cstdint>

namespace lcomp {

// Decodes one row of packed codes: out[j] = scales[j / group_size] * (code_j - zero_points[j / group_size]), j < cols.
// row: the row's packed codes; `readable` bytes may be read from there on (at least the row's own). group_size is a
// multiple of 8, so that each group begins with a byte, or >= cols.
void decode_packed_row(const std::uint8_t* row, std::size_t readable, int bits, std::size_t cols,
                       std::size_t group_size, const float* scales, const float* zero_points, float* out);

}  // namespace lcomp
