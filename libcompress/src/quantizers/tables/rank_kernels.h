#pragma once

#include <cstddef>
#include <cstdint>

namespace lcomp {

// Adds up rows of a matrix by rank, vectorised by Highway: sums[ranks[j] * width + c] += rows[j * stride + c] for j of
// [0, count) and c of [0, width).
void add_rows_by_rank(const float* rows, std::size_t stride, const std::uint8_t* ranks, std::size_t count,
                      std::size_t width, float* sums);

}  // namespace lcomp
