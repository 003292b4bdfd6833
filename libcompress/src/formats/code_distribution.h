#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace lcomp {

// The distributions that rate-coded weights are written under: fixed integer tables, the same on every machine (made by
// IEEE additions, multiplications and divisions alone), which a stored class and shape pick. docs/format.md defines
// them.
//
// The level n of a weight is taken for a sample of a density of mean magnitude 2^(class / 4), in steps, seen through
// cells as wide as neighbouring levels are apart. A code q with level n(q) is written as
//   high = q >> extra,  by its table;     low = q mod 2^extra,  as plain bits
// where extra grows by one for each octave above largest_class, so that tables stay small. A code whose `high` is
// outside -half_alphabet ... half_alphabet - 1 is an escape, followed by all of q in 24 bits.
struct CodeTables {
  static constexpr int probability_bits = 12;
  static constexpr std::uint32_t total = 1u << probability_bits;
  static constexpr int smallest_class = -24, largest_class = 12;
  static constexpr std::size_t classes = static_cast<std::size_t>(largest_class - smallest_class + 1);
  static constexpr int half_alphabet = 64;
  static constexpr std::size_t alphabet = 2 * half_alphabet + 1;  // the last is the escape
  static constexpr std::size_t escape = 2 * half_alphabet;
  static constexpr int shapes = 4;
  static constexpr int most_extra_bits = 12;
  static constexpr int widest_class = largest_class + 4 * most_extra_bits;  // a class is clamped to smallest ... widest

  // What a slot of a table decodes to: high << 24 | frequency << 12 | slot - begin, high = half_alphabet for an escape.
  struct Slots {
    std::uint32_t entries[total];
  };

  std::vector<Slots> slots;  // [classes, 2 parities]
  // [classes, 2, alphabet]: the slots of a symbol, frequency << 12 | begin; for one that has none, and the escape,
  // those of the escape and escape_flag.
  std::vector<std::uint32_t> intervals;
  static constexpr std::uint32_t escape_flag = 1u << 31;
  std::vector<float> bits;       // likewise: -log2 of the frequencies' shares; of absent ones the escape's
  std::vector<float> magnitude;  // [classes]: mean |level|, over both parities

  static std::size_t index(unsigned parity, int table_class) {
    return 2 * static_cast<std::size_t>(table_class - smallest_class) + parity;
  }

  // The symbol of a code's high part, the escape for one that no table has.
  static std::size_t symbol(std::int32_t high) {
    const bool in_table = high >= -half_alphabet && high < half_alphabet;
    return in_table ? static_cast<std::size_t>(high + half_alphabet) : escape;
  }

  // spacing: distance of the levels that a state offers, 1 (plain) or 2 (trellis; parity 1: odd levels). Made at the
  // first call for a shape, kept for the life of the program. Thread-safe.
  static const CodeTables& of(int spacing, int shape);
};

// How a weight of a class is written.
struct ClassCode {
  int table_class = 0;
  int extra_bits = 0;
};
constexpr ClassCode class_code(int magnitude_class) {
  if (magnitude_class <= CodeTables::largest_class) {
    return {magnitude_class < CodeTables::smallest_class ? CodeTables::smallest_class : magnitude_class, 0};
  }
  const int clamped = magnitude_class > CodeTables::widest_class ? CodeTables::widest_class : magnitude_class;
  const int extra = (clamped - CodeTables::largest_class + 3) / 4;
  return {clamped - 4 * extra, extra};
}

}  // namespace lcomp
