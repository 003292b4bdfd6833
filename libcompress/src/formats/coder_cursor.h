#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "block_coder.h"

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
  bool as_codes = false;  // codes, not levels
};

// Decodes one group of up to 32 columns, one after the other. column_classes, states (of the trellis) and out belong to
// the group's columns.
void decode_group(const GroupDecoder& decoder, CoderCursor& cursor, int row_class, const std::int32_t* column_classes,
                  std::size_t size, std::uint32_t* states, std::int32_t* out);

// An escaped code, from the state of its coder.
std::int32_t take_escaped(std::uint32_t& x, const std::uint8_t*& at);

// What decode_group() does for `groups` groups of 32, with the coders in the lanes of vectors (Highway). False when the
// stream ended before the last of them. has_extra_bits: whether any of the classes has.
bool decode_groups_of_row(const GroupDecoder& decoder, CoderCursor& cursor, bool has_extra_bits, int row_class,
                          const std::int32_t* column_classes, std::size_t groups, std::uint32_t* states,
                          std::int32_t* out);

// weights[j] = levels[j] * (base_step * powers[row_step + column_steps[j]]), both products rounded; 0 for level 0.
void levels_to_weights(const std::int32_t* levels, float base_step, const float* powers, int row_step,
                       const std::int32_t* column_steps, std::size_t size, float* weights);

}  // namespace lcomp
