#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lcomp/formats/weight_part.h"

namespace lcomp {

// The order of a weight's stored columns, in every format that may permute them: cols values u16 (u32 for more than
// 65536 columns), little-endian, one permutation for all rows. Stored column j is column permutation[j] of the weight;
// groups consist of consecutive stored columns.

// The part ".permutation" [cols].
PartDeclaration declare_permutation(std::size_t cols, const std::string& where);

// Stores a permutation of 0 .. size - 1 (values below size are asserted).
void write_permutation(std::span<const std::uint32_t> permutation, std::span<std::uint8_t> bytes);

// Entry j of a stored permutation of `cols` columns, unchecked.
std::uint32_t stored_column(std::span<const std::uint8_t> bytes, std::size_t cols, std::size_t j);

// The stored permutation. Throws Error naming `where` + ".permutation" when the values are not a permutation.
std::vector<std::uint32_t> read_permutation(std::span<const std::uint8_t> bytes, std::size_t cols,
                                            const std::string& where);

}  // namespace lcomp
