#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/block_coder.h"
#include "formats/step_table.h"

namespace lcomp {

// Where the decoder of a block stands: the states of its coders, and the stream from `at` on. A group of 32 codes is
// decoded without looking at the end of the stream: before it, prepare_group() sees to it that as many bytes as it may
// read are there, the last bytes being copied to a place with zeros behind them.
struct CoderCursor {
  static constexpr std::size_t group_bytes = 8 * coder_lanes;  // symbols, plain bits, and two words of each escape
  static constexpr std::size_t margin = group_bytes + 64;      // and what a vector may load beyond

  alignas(64) std::array<std::uint32_t, coder_lanes> states{};
  const std::uint8_t* at = nullptr;
  const std::uint8_t* end = nullptr;
  bool in_tail = false;
  std::array<std::uint8_t, 2 * margin> tail{};

  CoderCursor() = default;
  CoderCursor(const CoderCursor&) = delete;
  CoderCursor& operator=(const CoderCursor&) = delete;

  // Begins with the bytes of a block. False when they can't be one.
  bool begin(std::span<const std::uint8_t> bytes, std::size_t lanes);
  // Before each group. False when the stream has ended before.
  bool prepare_group() { return end - at >= static_cast<std::ptrdiff_t>(margin) || prepare_near_end(); }
  // After the last group: all of the stream has been read, and the states are those that encoding began with.
  bool finished(std::size_t lanes) const;

 private:
  bool prepare_near_end();
};

// The same for all groups of a block.
struct GroupDecoder {
  const CodeTables* tables = nullptr;
  Trellis trellis{0};
};

// Classes of a row and of its columns, and the largest of each group's columns.
struct GroupClasses {
  int row = 0;
  const std::int32_t* columns = nullptr;  // [cols]
  const std::int32_t* largest = nullptr;  // [groups of 32]

  bool has_extra_bits(std::size_t group) const { return row + largest[group] > CodeTables::largest_class; }
};

// A row that is decoded to codes or to weights: the other of the two pointers is not used.
struct RowOfBlock {
  CoderCursor* cursor = nullptr;
  GroupClasses classes;
  std::uint32_t* states = nullptr;  // [cols], of the trellis
  std::int32_t* codes = nullptr;    // [cols]
  float* weights = nullptr;         // [cols]
  RowSteps steps;                   // for weights
};

// Decodes the codes of one group of up to 32 columns, the first being column `begin`, one after the other. The states
// of the trellis stay as they are.
void decode_group(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t begin, std::size_t size,
                  std::int32_t* codes);
// The states after the codes. [size]
void advance_states(const Trellis& trellis, const std::int32_t* codes, std::size_t size, std::uint32_t* states);
// Both, and the weights: level times step, rounded; 0 for level 0.
void decode_group_to_weights(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t begin, std::size_t size);

// The escaped codes of a group of 32, those that are `mark`, from the states of their coders. Returns where the stream
// goes on.
const std::uint8_t* take_escaped_codes(const std::uint8_t* at, std::int32_t mark, std::uint32_t* coder_states,
                                       std::int32_t* codes);

// What decode_group() and advance_states() do for the first `groups` groups of 32, with the coders in the lanes of
// vectors (Highway). False when the stream ended before the last of them.
bool decode_codes_of_row(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t groups);
// The same to weights, and for rows of two blocks at once, which takes little longer than one.
bool decode_weights_of_row(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t groups);
bool decode_weights_of_rows(const GroupDecoder& decoder, const RowOfBlock& row, const RowOfBlock& other,
                            std::size_t groups);

}  // namespace lcomp
