#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/code_distribution.h"
#include "lcomp/formats/trellis.h"

namespace lcomp {

// What codes of a block are written under: the class of element (i, j) is row_classes[i] + col_classes[j].
struct BlockModel {
  Trellis trellis{0};
  int shape = 0;
  std::size_t chain_rows = 0;  // a chain of states begins at every row that is a multiple of it, counted from the block
  std::span<const std::int16_t> row_classes, col_classes;
};

// rANS (Duda, arXiv 1311.2540), up to 32 coders side by side: column j of a row belongs to coder j mod 32. States have
// 32 bits, at least 2^16, and take 16 bits at a time from one common stream. For each 32 columns of a row, one after
// the other: the tables' symbols of all of them, then the plain bits of those that have any, then the escaped codes.
inline constexpr std::size_t coder_lanes = 32;
inline constexpr std::uint32_t least_coder_state = 1u << 16;
inline constexpr int escape_piece_bits = 12;  // an escaped code is written in two

// codes: [rows, cols]. Returns the final states (what decoding begins with), 4 bytes each for the coders that are used,
// then the stream, little-endian.
std::vector<std::uint8_t> encode_block(const BlockModel& model, std::span<const std::int32_t> codes);

// The inverse: writes the codes [rows, cols]. Returns false for bytes that no encoder wrote; reads and writes nothing
// out of bounds whatever they are.
bool decode_block(const BlockModel& model, std::span<const std::uint8_t> bytes, std::span<std::int32_t> codes);

// The largest class of each 32 columns.
std::vector<std::int32_t> largest_of_groups(std::span<const std::int32_t> column_classes);

// -log2 of what the tables give each code, summed by row and by column: added to [rows], [cols].
void add_code_bits(const BlockModel& model, std::span<const std::int32_t> codes, std::span<double> row_bits,
                   std::span<double> col_bits);

// Bits of a code in a state of this parity.
inline float code_bits(const CodeTables& tables, unsigned parity, ClassCode how, std::int32_t code) {
  const std::size_t symbol = CodeTables::symbol(code >> how.extra_bits);
  return tables.bits[CodeTables::index(parity, how.table_class) * CodeTables::alphabet + symbol] +
         static_cast<float>(how.extra_bits);
}

}  // namespace lcomp
