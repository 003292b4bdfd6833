#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace lcomp {

// Logarithms of a rate-coded weight's steps and magnitudes.
struct SideInformation {
  std::vector<std::uint8_t> row_steps, col_steps;
  std::vector<std::int16_t> row_classes, col_classes;
  std::vector<std::int16_t> row_gains;  // empty: none; -largest_row_gain .. largest_row_gain
};

// Each of the arrays is written as the differences from its median under the distribution of the class that suits
// it (shape 0, no trellis); all of them in one block (block_coder.h) after a header of 3 bytes each: the median, i16,
// and the class, i8.
std::vector<std::uint8_t> encode_side(const SideInformation& side);

// Nothing for bytes that no encoder wrote.
std::optional<SideInformation> decode_side(std::size_t rows, std::size_t cols, bool row_gains,
                                           std::span<const std::uint8_t> bytes);

}  // namespace lcomp
