#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "formats/block_coder.h"

namespace lcomp {

// The coders of a block that is encoded, from its last group to its first: words that are put last are read first.
struct BlockEncoder {
  static constexpr std::size_t code_words = 4;  // at most: a symbol, plain bits, and two of an escape
  static constexpr std::size_t margin = 32;     // what a vector may write beyond

  alignas(64) std::array<std::uint32_t, coder_lanes> states;  // of lane l at 31 - l: in the order of writing
  std::vector<std::uint16_t> words;
  std::size_t size = 0;  // of the words that were written

  BlockEncoder() { states.fill(least_coder_state); }

  // Makes room for this many codes.
  void reserve(std::size_t codes) {
    const std::size_t most = size + code_words * codes + margin;
    if (words.size() < most) words.resize(std::max(most, 2 * words.size()));
  }
  // States and words in the order of reading.
  std::vector<std::uint8_t> finish(std::size_t lanes) const;
};

// What the codes of a row's groups are written under; pointers belong to the first group's columns.
struct RowToEncode {
  const std::int32_t* codes = nullptr;
  const std::uint8_t* parities = nullptr;  // of the states of the trellis
  const std::int32_t* column_classes = nullptr;
  const std::int32_t* largest_classes = nullptr;  // of each group
  int row_class = 0;
};

// Puts the bits of an escaped code.
void put_escaped_code(BlockEncoder& encoder, std::size_t lane, std::int32_t code);

// Encodes a group of up to 32 columns, the first being column `begin` of the row. There must be room.
void encode_group(const CodeTables& tables, BlockEncoder& encoder, const RowToEncode& row, std::size_t begin,
                  std::size_t size);

// The same for `groups` groups of 32, from the last to the first, with the coders in the lanes of vectors (Highway).
void encode_groups_of_row(const CodeTables& tables, BlockEncoder& encoder, const RowToEncode& row, std::size_t groups);

}  // namespace lcomp
