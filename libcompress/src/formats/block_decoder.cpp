#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>
#include <vector>

#include "block_reader.h"

namespace lcomp {
namespace {

static_assert(std::endian::native == std::endian::little, "states are copied as they are");

constexpr int slot_mask = CodeTables::total - 1;

std::uint32_t refilled(std::uint32_t x, const std::uint8_t*& at) {
  if (x >= least_coder_state) return x;
  x = x << 16 | std::uint32_t{at[0]} | std::uint32_t{at[1]} << 8;
  at += 2;
  return x;
}

std::uint32_t take_bits(std::uint32_t& x, int bits, const std::uint8_t*& at) {
  const std::uint32_t value = x & ((1u << bits) - 1);
  x = refilled(x >> bits, at);
  return value;
}

}  // namespace

bool CoderCursor::begin(std::span<const std::uint8_t> bytes, std::size_t lanes) {
  if (bytes.size() < 4 * lanes || bytes.size() % 2 != 0) return false;
  std::memcpy(states.data(), bytes.data(), 4 * lanes);
  at = bytes.data() + 4 * lanes;
  end = bytes.data() + bytes.size();
  in_tail = false;
  return std::all_of(states.begin(), states.begin() + static_cast<std::ptrdiff_t>(lanes),
                     [](std::uint32_t x) { return x >= least_coder_state; });
}

bool CoderCursor::prepare_near_end() {
  if (at > end) return false;
  if (!in_tail) {
    const auto left = static_cast<std::size_t>(end - at);
    std::copy(at, end, tail.begin());
    at = tail.data();
    end = at + left;
    in_tail = true;
  }
  return true;
}

bool CoderCursor::finished(std::size_t lanes) const {
  return at == end && std::all_of(states.begin(), states.begin() + static_cast<std::ptrdiff_t>(lanes),
                                  [](std::uint32_t x) { return x == least_coder_state; });
}

void decode_group(const GroupDecoder& decoder, CoderCursor& cursor, int row_class, const std::int32_t* column_classes,
                  std::size_t size, std::uint32_t* states, std::int32_t* out) {
  std::array<ClassCode, coder_lanes> how;
  std::array<bool, coder_lanes> escaped{};
  const bool chained = decoder.trellis.memory() > 0;
  for (std::size_t l = 0; l < size; ++l) {
    how[l] = class_code(row_class + column_classes[l]);
    const unsigned parity = chained ? states[l] & 1u : 0;
    std::uint32_t& x = cursor.states[l];
    const std::uint32_t entry =
        decoder.tables->slots[CodeTables::index(parity, how[l].table_class)].entries[x & slot_mask];
    x = refilled((entry >> 12 & 0xfffu) * (x >> CodeTables::probability_bits) + (entry & 0xfffu), cursor.at);
    escaped[l] = entry >> 24 == CodeTables::escape;
    out[l] = static_cast<std::int32_t>(entry >> 24) - CodeTables::half_alphabet;
  }
  for (std::size_t l = 0; l < size; ++l) {
    const int extra = how[l].extra_bits;
    if (extra == 0) continue;
    out[l] = out[l] * (1 << extra) + static_cast<std::int32_t>(take_bits(cursor.states[l], extra, cursor.at));
  }
  for (std::size_t l = 0; l < size; ++l) {
    if (escaped[l]) out[l] = take_escaped(cursor.states[l], cursor.at);
  }
  for (std::size_t l = 0; chained && l < size; ++l) {
    const std::int32_t code = out[l];
    if (!decoder.as_codes) out[l] = decoder.trellis.level(states[l], code);
    states[l] = decoder.trellis.next(states[l], code);
  }
}

std::int32_t take_escaped(std::uint32_t& x, const std::uint8_t*& at) {
  const std::uint32_t low = take_bits(x, escape_piece_bits, at);
  const std::uint32_t high = take_bits(x, escape_piece_bits, at);
  const std::uint32_t bits = high << escape_piece_bits | low;
  return static_cast<std::int32_t>(bits << 8) >> 8;  // 24 bits with a sign
}

BlockReader::BlockReader(const BlockModel& model, std::span<const std::uint8_t> bytes, bool as_codes)
    : model_(model),
      decoder_{&CodeTables::of(model.trellis.spacing(), model.shape), model.trellis, as_codes},
      column_classes_(model.col_classes.begin(), model.col_classes.end()),
      largest_column_class_(*std::max_element(column_classes_.begin(), column_classes_.end())),
      states_(column_classes_.size(), 0),
      good_(cursor_.begin(bytes, lanes())) {}

bool BlockReader::read_row(std::span<std::int32_t> out) {
  const std::size_t cols = column_classes_.size();
  assert(row_ < model_.row_classes.size() && out.size() == cols);
  const int row_class = model_.row_classes[row_];
  if (row_++ % model_.chain_rows == 0) std::fill(states_.begin(), states_.end(), 0u);
  const bool has_extra_bits = row_class + largest_column_class_ > CodeTables::largest_class;
  const std::size_t groups = cols / coder_lanes;
  good_ = good_ && decode_groups_of_row(decoder_, cursor_, has_extra_bits, row_class, column_classes_.data(), groups,
                                        states_.data(), out.data());
  const std::size_t rest = groups * coder_lanes;  // where the last, shorter group begins
  if (good_ && rest < cols) {
    good_ = cursor_.prepare_group();
    if (good_) {
      decode_group(decoder_, cursor_, row_class, &column_classes_[rest], cols - rest, &states_[rest], &out[rest]);
    }
  }
  return good_;
}

bool BlockReader::finished() const { return good_ && row_ == model_.row_classes.size() && cursor_.finished(lanes()); }

bool decode_block(const BlockModel& model, std::span<const std::uint8_t> bytes, bool as_codes,
                  std::span<std::int32_t> out) {
  const std::size_t cols = model.col_classes.size();
  assert(out.size() == model.row_classes.size() * cols);
  BlockReader reader(model, bytes, as_codes);
  for (std::size_t i = 0; i < model.row_classes.size(); ++i) {
    if (!reader.read_row(out.subspan(i * cols, cols))) return false;
  }
  return reader.finished();
}

}  // namespace lcomp
