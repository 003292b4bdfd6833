#include "block_coder.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace lcomp {
namespace {

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

class Encoder {
 public:
  explicit Encoder(std::size_t lanes) : states_(lanes, least_coder_state) {}

  void put_symbol(std::size_t lane, std::uint32_t begin, std::uint32_t frequency) {
    std::uint32_t& x = states_[lane];
    constexpr int room = 2 * word_bits - CodeTables::probability_bits;
    if (x >= std::uint64_t{frequency} << room) put_word(x);
    x = (x / frequency << CodeTables::probability_bits) + x % frequency + begin;
  }
  void put_bits(std::size_t lane, std::uint32_t value, int bits) {
    std::uint32_t& x = states_[lane];
    if (x >= 1u << (2 * word_bits - bits)) put_word(x);
    x = x << bits | value;
  }

  std::vector<std::uint8_t> finish() const {
    std::vector<std::uint8_t> bytes;
    bytes.reserve(4 * states_.size() + 2 * words_.size());
    for (const std::uint32_t x : states_) {
      for (int k = 0; k < 4; ++k) bytes.push_back(static_cast<std::uint8_t>(x >> (8 * k)));
    }
    for (auto word = words_.rbegin(); word != words_.rend(); ++word) {
      bytes.push_back(static_cast<std::uint8_t>(*word));
      bytes.push_back(static_cast<std::uint8_t>(*word >> 8));
    }
    return bytes;
  }

 private:
  void put_word(std::uint32_t& x) {
    words_.push_back(static_cast<std::uint16_t>(x));
    x >>= word_bits;
  }

  std::vector<std::uint32_t> states_;
  std::vector<std::uint16_t> words_;  // the last written is read first
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
  std::array<ClassCode, coder_lanes> how;
  std::array<std::size_t, coder_lanes> symbols{};
  const std::size_t groups = (cols + coder_lanes - 1) / coder_lanes;
  for (std::size_t i = rows; i-- > 0;) {
    for (std::size_t group = groups; group-- > 0;) {
      const std::size_t first = group * coder_lanes;
      const std::size_t lanes = std::min(coder_lanes, cols - first);
      const std::int32_t* q = codes.data() + i * cols + first;
      const std::uint8_t* parity = parities.data() + i * cols + first;
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        how[lane] = class_code(model.row_classes[i] + model.col_classes[first + lane]);
        symbols[lane] = symbol_of(tables.tables[CodeTables::index(parity[lane], how[lane].table_class)],
                                  q[lane] >> how[lane].extra_bits);
      }
      // What is decoded last is encoded first.
      for (std::size_t lane = lanes; lane-- > 0;) {
        if (symbols[lane] != CodeTables::escape) continue;
        const auto bits = static_cast<std::uint32_t>(q[lane]);
        encoder.put_bits(lane, bits >> escape_piece_bits & escape_mask, escape_piece_bits);
        encoder.put_bits(lane, bits & escape_mask, escape_piece_bits);
      }
      for (std::size_t lane = lanes; lane-- > 0;) {
        const int extra = how[lane].extra_bits;
        if (extra == 0) continue;
        encoder.put_bits(lane, static_cast<std::uint32_t>(q[lane]) & ((1u << extra) - 1), extra);
      }
      for (std::size_t lane = lanes; lane-- > 0;) {
        const CodeTables::Table& table = tables.tables[CodeTables::index(parity[lane], how[lane].table_class)];
        encoder.put_symbol(lane, table.begin[symbols[lane]], table.frequency[symbols[lane]]);
      }
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
