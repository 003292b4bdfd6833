#include "formats/block_coder.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "formats/block_encoder.h"
#include "formats/trellis_kernels.h"

namespace lcomp {
namespace {

static_assert(std::endian::native == std::endian::little, "states and words are copied as they are");

constexpr std::uint32_t escape_mask = (1u << escape_piece_bits) - 1;

// Without branches, which nobody could predict.
std::uint32_t put_word(BlockEncoder& encoder, std::uint32_t x, bool full) {
  encoder.words[encoder.size] = static_cast<std::uint16_t>(x);
  encoder.size += full ? 1 : 0;
  return x >> (full ? 16 : 0);
}

void put_symbol(BlockEncoder& encoder, std::uint32_t& state, std::uint32_t interval) {
  constexpr int room = 32 - CodeTables::probability_bits;
  const std::uint32_t frequency = interval >> 12 & (CodeTables::total - 1);
  const std::uint32_t x = put_word(encoder, state, state >> room >= frequency);
  const std::uint32_t quotient = x / frequency;
  const std::uint32_t begin = interval & (CodeTables::total - 1);
  state = (quotient << CodeTables::probability_bits) + (x - quotient * frequency) + begin;
}

void put_bits(BlockEncoder& encoder, std::uint32_t& state, std::uint32_t value, int bits) {
  state = put_word(encoder, state, state >= 1u << (32 - bits)) << bits | value;
}

std::uint32_t& state_of(BlockEncoder& encoder, std::size_t lane) { return encoder.states[coder_lanes - 1 - lane]; }

}  // namespace

std::vector<std::uint8_t> BlockEncoder::finish(std::size_t lanes) const {
  std::vector<std::uint8_t> bytes(4 * lanes + 2 * size);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    std::memcpy(bytes.data() + 4 * lane, &states[coder_lanes - 1 - lane], sizeof(std::uint32_t));
  }
  std::uint8_t* to = bytes.data() + 4 * lanes;
  for (std::size_t k = size; k-- > 0; to += sizeof(std::uint16_t)) std::memcpy(to, &words[k], sizeof(std::uint16_t));
  return bytes;
}

void put_escaped_code(BlockEncoder& encoder, std::size_t lane, std::int32_t code) {
  const auto bits = static_cast<std::uint32_t>(code);
  put_bits(encoder, state_of(encoder, lane), bits >> escape_piece_bits & escape_mask, escape_piece_bits);
  put_bits(encoder, state_of(encoder, lane), bits & escape_mask, escape_piece_bits);
}

void encode_group(const CodeTables& tables, BlockEncoder& encoder, const RowToEncode& row, std::size_t begin,
                  std::size_t size) {
  std::array<std::uint32_t, coder_lanes> intervals;
  std::array<int, coder_lanes> extra;
  const std::int32_t* codes = row.codes + begin;
  for (std::size_t lane = 0; lane < size; ++lane) {
    const ClassCode how = class_code(row.row_class + row.column_classes[begin + lane]);
    const std::size_t table = CodeTables::index(row.parities[begin + lane], how.table_class);
    const std::size_t symbol = CodeTables::symbol(codes[lane] >> how.extra_bits);
    intervals[lane] = tables.intervals[table * CodeTables::alphabet + symbol];
    extra[lane] = how.extra_bits;
  }
  // What is decoded last is encoded first.
  for (std::size_t lane = size; lane-- > 0;) {
    if ((intervals[lane] & CodeTables::escape_flag) != 0) put_escaped_code(encoder, lane, codes[lane]);
  }
  for (std::size_t lane = size; lane-- > 0;) {
    if (extra[lane] == 0) continue;
    const std::uint32_t low = static_cast<std::uint32_t>(codes[lane]) & ((1u << extra[lane]) - 1);
    put_bits(encoder, state_of(encoder, lane), low, extra[lane]);
  }
  for (std::size_t lane = size; lane-- > 0;) put_symbol(encoder, state_of(encoder, lane), intervals[lane]);
}

std::vector<std::uint8_t> encode_block(const BlockModel& model, std::span<const std::int32_t> codes) {
  const std::size_t rows = model.row_classes.size();
  const std::size_t cols = model.col_classes.size();
  assert(codes.size() == rows * cols);
  const CodeTables& tables = CodeTables::of(model.trellis.spacing(), model.shape);
  std::vector<std::uint8_t> parities(codes.size(), 0);
  std::vector<std::uint32_t> states(cols);
  for (std::size_t i = 0; model.trellis.memory() > 0 && i < rows; ++i) {
    if (i % model.chain_rows == 0) std::fill(states.begin(), states.end(), 0u);
    parities_of_row(model.trellis, codes.subspan(i * cols, cols), states.data(), &parities[i * cols]);
  }
  const std::vector<std::int32_t> column_classes(model.col_classes.begin(), model.col_classes.end());
  const std::vector<std::int32_t> largest = largest_of_groups(column_classes);
  const std::size_t groups = cols / coder_lanes;
  const std::size_t rest = groups * coder_lanes;  // where the last, shorter group begins
  BlockEncoder encoder;
  for (std::size_t i = rows; i-- > 0;) {
    encoder.reserve(cols);
    const RowToEncode row = {&codes[i * cols], &parities[i * cols], column_classes.data(), largest.data(),
                             model.row_classes[i]};
    if (rest < cols) encode_group(tables, encoder, row, rest, cols - rest);
    encode_groups_of_row(tables, encoder, row, groups);
  }
  return encoder.finish(std::min(coder_lanes, cols));
}

std::vector<std::int32_t> largest_of_groups(std::span<const std::int32_t> column_classes) {
  std::vector<std::int32_t> largest;
  for (std::size_t begin = 0; begin < column_classes.size(); begin += coder_lanes) {
    const auto group = column_classes.subspan(begin, std::min(coder_lanes, column_classes.size() - begin));
    largest.push_back(*std::max_element(group.begin(), group.end()));
  }
  return largest;
}

void add_code_bits(const BlockModel& model, std::span<const std::int32_t> codes, std::span<double> row_bits,
                   std::span<double> col_bits) {
  const CodeTables& tables = CodeTables::of(model.trellis.spacing(), model.shape);
  const std::size_t cols = model.col_classes.size();
  std::vector<std::uint32_t> states(cols, 0);
  for (std::size_t i = 0; i < model.row_classes.size(); ++i) {
    if (i % model.chain_rows == 0) std::fill(states.begin(), states.end(), 0u);
    for (std::size_t j = 0; j < cols; ++j) {
      const std::int32_t code = codes[i * cols + j];
      const unsigned parity = states[j] & 1u;  // 0 without a trellis
      const auto bits =
          static_cast<double>(code_bits(tables, parity, class_code(model.row_classes[i] + model.col_classes[j]), code));
      row_bits[i] += bits;
      col_bits[j] += bits;
      states[j] = model.trellis.next(states[j], code);
    }
  }
}

}  // namespace lcomp
