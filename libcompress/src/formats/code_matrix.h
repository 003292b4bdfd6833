#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "lcomp/formats/weight_part.h"

namespace lcomp {

// The codes of a weight, as every format with groups of columns stores them: [rows, cols] codes of `bits` bits, each
// row a bit stream of its own (bit_packing.h) from a byte boundary, so that rows can be decoded alone. The unused bits
// at a row's end are zero and are counted.

// What such a format can be: bits 1 .. 8, at least one row and column, groups of 1 .. cols columns (the last group of a
// row may be shorter). Throws Error naming `where`.
void check_code_matrix(std::size_t rows, std::size_t cols, int bits, std::size_t group_size, const std::string& where);

std::size_t code_row_bytes(std::size_t cols, int bits);

// The part ".codes": u8 [rows, code_row_bytes].
PartDeclaration declare_codes(std::size_t rows, std::size_t cols, int bits, const std::string& where);

// Packs the codes of one row into its place in `bytes`, and back. The sizes are asserted.
void pack_code_row(std::span<const std::uint8_t> codes, int bits, std::size_t row, std::span<std::uint8_t> bytes);
void unpack_code_row(std::span<const std::uint8_t> bytes, int bits, std::size_t row, std::span<std::uint8_t> codes);

}  // namespace lcomp
