#include "block_coder.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>

namespace lcomp {
namespace {

static_assert(std::endian::native == std::endian::little, "states and words are copied as they are");

constexpr int word_bits = 16;
constexpr std::uint32_t escape_mask = (1u << escape_piece_bits) - 1;

// The symbol of a code's high part, or the escape where the table has none for it.
std::size_t symbol_of(const CodeTables::Table& table, std::int32_t high) {
  if (high < -CodeTables::half_alphabet || high >= CodeTables::half_alphabet) return CodeTables::escape;
  const auto symbol = static_cast<std::size_t>(high + CodeTables::half_alphabet);
  return table.frequency[symbol] > 0 ? symbol : CodeTables::escape;
}

// Parities of the states in which the codes of a block are written, row by row.
class Parities {
 public:
  Parities(const BlockModel& model, std::size_t cols) : model_(model), states_(cols, 0) {}
  // Call at the begin of each row, in order.
  void begin_row(std::size_t row) {
    if (row % model_.chain_rows == 0) std::fill(states_.begin(), states_.end(), std::uint8_t{0});
  }
  unsigned parity(std::size_t col) const { return states_[col] & 1u; }
  std::int32_t advance(std::size_t col, std::int32_t code) {  // the level
    const std::uint32_t state = states_[col];
    states_[col] = static_cast<std::uint8_t>(model_.trellis.next(state, code));
    return model_.trellis.level(state, code);
  }

 private:
  const BlockModel& model_;
  std::vector<std::uint8_t> states_;
};

// Writes backwards: what is put last is read first.
class Encoder {
 public:
  explicit Encoder(std::size_t lanes) : lanes_(lanes) { states_.fill(least_coder_state); }

  // Call before `count` symbols, numbers of bits, or both.
  void reserve(std::size_t count) {
    if (words_.size() - size_ <= count) words_.resize(2 * words_.size() + count + 1);
  }
  void put_symbol(std::size_t lane, std::uint32_t begin, std::uint32_t frequency) {
    constexpr int room = 2 * word_bits - CodeTables::probability_bits;
    const std::uint32_t x = put_word(states_[lane], states_[lane] >= std::uint64_t{frequency} << room);
    const std::uint32_t quotient = x / frequency;
    states_[lane] = (quotient << CodeTables::probability_bits) + (x - quotient * frequency) + begin;
  }
  void put_bits(std::size_t lane, std::uint32_t value, int bits) {
    const std::uint32_t x = put_word(states_[lane], states_[lane] >= 1u << (2 * word_bits - bits));
    states_[lane] = x << bits | value;
  }

  std::vector<std::uint8_t> finish() {
    const auto last = words_.begin() + static_cast<std::ptrdiff_t>(size_);
    std::reverse(words_.begin(), last);
    std::vector<std::uint8_t> bytes(4 * lanes_ + 2 * size_);
    std::memcpy(bytes.data(), states_.data(), 4 * lanes_);
    if (size_ > 0) std::memcpy(bytes.data() + 4 * lanes_, words_.data(), 2 * size_);
    return bytes;
  }

 private:
  // Without branches, which nobody could predict.
  std::uint32_t put_word(std::uint32_t x, bool full) {
    words_[size_] = static_cast<std::uint16_t>(x);
    size_ += full ? 1 : 0;
    return x >> (full ? word_bits : 0);
  }

  std::size_t lanes_;
  std::array<std::uint32_t, coder_lanes> states_;
  std::vector<std::uint16_t> words_;
  std::size_t size_ = 0;
};

}  // namespace

std::vector<std::uint8_t> encode_block(const BlockModel& model, std::span<const std::int32_t> codes) {
  const std::size_t rows = model.row_classes.size();
  const std::size_t cols = model.col_classes.size();
  assert(codes.size() == rows * cols);
  const CodeTables& tables = CodeTables::of(model.trellis.spacing(), model.shape);
  std::vector<std::uint8_t> parities(codes.size(), 0);
  if (model.trellis.memory() > 0) {
    Parities states(model, cols);
    for (std::size_t i = 0; i < rows; ++i) {
      states.begin_row(i);
      for (std::size_t j = 0; j < cols; ++j) {
        parities[i * cols + j] = static_cast<std::uint8_t>(states.parity(j));
        states.advance(j, codes[i * cols + j]);
      }
    }
  }
  Encoder encoder(std::min(coder_lanes, cols));
  std::array<std::int32_t, coder_lanes> extra;
  std::array<std::uint32_t, coder_lanes> begins;
  std::array<std::uint32_t, coder_lanes> frequencies;
  std::array<bool, coder_lanes> escaped;
  const std::size_t groups = (cols + coder_lanes - 1) / coder_lanes;
  for (std::size_t i = rows; i-- > 0;) {
    encoder.reserve(4 * cols);
    for (std::size_t group = groups; group-- > 0;) {
      const std::size_t first = group * coder_lanes;
      const std::size_t lanes = std::min(coder_lanes, cols - first);
      const std::int32_t* q = codes.data() + i * cols + first;
      const std::uint8_t* parity = parities.data() + i * cols + first;
      bool more = false;
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const ClassCode how = class_code(model.row_classes[i] + model.col_classes[first + lane]);
        const CodeTables::Table& table = tables.tables[CodeTables::index(parity[lane], how.table_class)];
        const std::size_t symbol = symbol_of(table, q[lane] >> how.extra_bits);
        begins[lane] = table.begin[symbol];
        frequencies[lane] = table.frequency[symbol];
        extra[lane] = how.extra_bits;
        escaped[lane] = symbol == CodeTables::escape;
        more |= escaped[lane] || how.extra_bits > 0;
      }
      // What is decoded last is encoded first.
      if (more) {
        for (std::size_t lane = lanes; lane-- > 0;) {
          if (!escaped[lane]) continue;
          const auto bits = static_cast<std::uint32_t>(q[lane]);
          encoder.put_bits(lane, bits >> escape_piece_bits & escape_mask, escape_piece_bits);
          encoder.put_bits(lane, bits & escape_mask, escape_piece_bits);
        }
        for (std::size_t lane = lanes; lane-- > 0;) {
          if (extra[lane] == 0) continue;
          encoder.put_bits(lane, static_cast<std::uint32_t>(q[lane]) & ((1u << extra[lane]) - 1), extra[lane]);
        }
      }
      for (std::size_t lane = lanes; lane-- > 0;) encoder.put_symbol(lane, begins[lane], frequencies[lane]);
    }
  }
  return encoder.finish();
}

void add_code_bits(const BlockModel& model, std::span<const std::int32_t> codes, std::span<double> row_bits,
                   std::span<double> col_bits) {
  const CodeTables& tables = CodeTables::of(model.trellis.spacing(), model.shape);
  const std::size_t cols = model.col_classes.size();
  Parities states(model, cols);
  for (std::size_t i = 0; i < model.row_classes.size(); ++i) {
    states.begin_row(i);
    for (std::size_t j = 0; j < cols; ++j) {
      const std::int32_t code = codes[i * cols + j];
      const unsigned parity = model.trellis.memory() > 0 ? states.parity(j) : 0;
      const auto bits =
          static_cast<double>(code_bits(tables, parity, class_code(model.row_classes[i] + model.col_classes[j]), code));
      row_bits[i] += bits;
      col_bits[j] += bits;
      states.advance(j, code);
    }
  }
}

}  // namespace lcomp
