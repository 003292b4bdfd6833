#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>
#include <vector>

#include "formats/block_reader.h"

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

// An escaped code, from the state of its coder.
std::int32_t take_escaped(std::uint32_t& x, const std::uint8_t*& at) {
  const std::uint32_t low = take_bits(x, escape_piece_bits, at);
  const std::uint32_t high = take_bits(x, escape_piece_bits, at);
  const std::uint32_t bits = high << escape_piece_bits | low;
  return static_cast<std::int32_t>(bits << 8) >> 8;  // 24 bits with a sign
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

void decode_group(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t begin, std::size_t size,
                  std::int32_t* codes) {
  CoderCursor& cursor = *row.cursor;
  std::array<ClassCode, coder_lanes> how;
  std::array<bool, coder_lanes> escaped{};
  for (std::size_t l = 0; l < size; ++l) {
    how[l] = class_code(row.classes.row + row.classes.columns[begin + l]);
    const unsigned parity = row.states[begin + l] & 1u;  // 0 without a trellis
    std::uint32_t& x = cursor.states[l];
    const std::uint32_t entry =
        decoder.tables->slots[CodeTables::index(parity, how[l].table_class)].entries[x & slot_mask];
    x = refilled((entry >> 12 & 0xfffu) * (x >> CodeTables::probability_bits) + (entry & 0xfffu), cursor.at);
    codes[l] = static_cast<std::int32_t>(entry) >> 24;
    escaped[l] = codes[l] == static_cast<std::int32_t>(CodeTables::escape) - CodeTables::half_alphabet;
  }
  for (std::size_t l = 0; l < size; ++l) {
    const int extra = how[l].extra_bits;
    if (extra == 0) continue;
    codes[l] = codes[l] * (1 << extra) + static_cast<std::int32_t>(take_bits(cursor.states[l], extra, cursor.at));
  }
  for (std::size_t l = 0; l < size; ++l) {
    if (escaped[l]) codes[l] = take_escaped(cursor.states[l], cursor.at);
  }
}

const std::uint8_t* take_escaped_codes(const std::uint8_t* at, std::int32_t mark, std::uint32_t* coder_states,
                                       std::int32_t* codes) {
  for (std::size_t l = 0; l < coder_lanes; ++l) {
    if (codes[l] == mark) codes[l] = take_escaped(coder_states[l], at);
  }
  return at;
}

void advance_states(const Trellis& trellis, const std::int32_t* codes, std::size_t size, std::uint32_t* states) {
  for (std::size_t l = 0; l < size; ++l) states[l] = trellis.next(states[l], codes[l]);
}

void decode_group_to_weights(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t begin, std::size_t size) {
  std::array<std::int32_t, coder_lanes> codes;
  decode_group(decoder, row, begin, size, codes.data());
  for (std::size_t l = 0; l < size; ++l) {
    const std::int32_t level = decoder.trellis.level(row.states[begin + l], codes[l]);
    const float step = row.steps.base * (row.steps.powers[begin + l] * row.steps.octave);
    row.weights[begin + l] = level == 0 ? 0.0F : static_cast<float>(level) * step;
  }
  advance_states(decoder.trellis, codes.data(), size, row.states + begin);
}

BlockReader::BlockReader(const BlockModel& model, std::span<const std::uint8_t> bytes)
    : model_(model),
      decoder_{&CodeTables::of(model.trellis.spacing(), model.shape), model.trellis},
      column_classes_(model.col_classes.begin(), model.col_classes.end()),
      largest_classes_(largest_of_groups(column_classes_)),
      states_(column_classes_.size(), 0),
      good_(cursor_.begin(bytes, lanes())) {}

RowOfBlock BlockReader::next_row() {
  assert(row_ < model_.row_classes.size());
  RowOfBlock row;
  row.cursor = &cursor_;
  row.classes = {model_.row_classes[row_], column_classes_.data(), largest_classes_.data()};
  row.states = states_.data();
  if (row_++ % model_.chain_rows == 0) std::fill(states_.begin(), states_.end(), 0u);
  return row;
}

RowOfBlock BlockReader::next_row(const RowSteps& steps, std::span<float> out) {
  assert(out.size() == cols());
  RowOfBlock row = next_row();
  row.weights = out.data();
  row.steps = steps;
  return row;
}

bool BlockReader::read_codes(std::span<std::int32_t> out) {
  assert(out.size() == cols());
  RowOfBlock row = next_row();
  row.codes = out.data();
  good_ = good_ && decode_codes_of_row(decoder_, row, groups());
  const std::size_t rest = groups() * coder_lanes;  // where the last, shorter group begins
  if (rest == cols()) return good_;
  good_ = good_ && cursor_.prepare_group();
  if (good_) {
    decode_group(decoder_, row, rest, cols() - rest, &out[rest]);
    advance_states(decoder_.trellis, &out[rest], cols() - rest, row.states + rest);
  }
  return good_;
}

bool BlockReader::read_weights(const RowSteps& steps, std::span<float> out) {
  const RowOfBlock row = next_row(steps, out);
  good_ = good_ && decode_weights_of_row(decoder_, row, groups());
  return finish_weights(row);
}

bool BlockReader::read_weights(const RowSteps& steps, std::span<float> out, BlockReader& other,
                               const RowSteps& other_steps, std::span<float> other_out) {
  assert(decoder_.tables == other.decoder_.tables && cols() == other.cols());
  const RowOfBlock row = next_row(steps, out);
  const RowOfBlock other_row = other.next_row(other_steps, other_out);
  good_ = other.good_ = good_ && other.good_ && decode_weights_of_rows(decoder_, row, other_row, groups());
  return finish_weights(row) && other.finish_weights(other_row);
}

bool BlockReader::finish_weights(const RowOfBlock& row) {
  const std::size_t rest = groups() * coder_lanes;
  if (rest == cols()) return good_;
  good_ = good_ && cursor_.prepare_group();
  if (good_) decode_group_to_weights(decoder_, row, rest, cols() - rest);
  return good_;
}

bool BlockReader::finished() const { return good_ && row_ == model_.row_classes.size() && cursor_.finished(lanes()); }

bool decode_block(const BlockModel& model, std::span<const std::uint8_t> bytes, std::span<std::int32_t> codes) {
  const std::size_t cols = model.col_classes.size();
  assert(codes.size() == model.row_classes.size() * cols);
  BlockReader reader(model, bytes);
  for (std::size_t i = 0; i < model.row_classes.size(); ++i) {
    if (!reader.read_codes(codes.subspan(i * cols, cols))) return false;
  }
  return reader.finished();
}

}  // namespace lcomp
