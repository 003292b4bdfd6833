#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lcomp/formats/trellis.h"

namespace lcomp {

// About how many bits an entropy coder takes for the level of a weight, known the magnitude that weights of its row and
// column have on average: what rounding needs to know to weigh bits against errors. Weights are taken for Laplacian
// with that mean magnitude; the coder fits better tables afterwards, which moves the choice by less than 1 % of the
// error.
class CodeRates {
 public:
  static constexpr int classes_per_octave = 4;
  static constexpr int smallest_class = -24, largest_class = 24;  // logarithms of the mean magnitude, in steps
  static constexpr std::int32_t largest_code = 255;               // beyond, bits grow linearly
  static constexpr float most_bits = 28;                          // what an escape takes, for any code

  explicit CodeRates(const Trellis& trellis);

  static int class_of(double log2_mean_magnitude);  // in steps; rounded and clamped

  // Bits of codes -largest_code - 1 ... largest_code + 1 in a state with parity 0 or 1; at(code) is [code + center].
  static constexpr std::int32_t center = largest_code + 1;
  const float* table(int parity, int magnitude_class) const {
    return bits_.data() + (static_cast<std::size_t>(parity) * class_count +
                           static_cast<std::size_t>(magnitude_class - smallest_class)) *
                              width;
  }
  static float bits(const float* table, std::int32_t code) {
    if (code >= -largest_code && code <= largest_code) return table[code + center];
    const std::int32_t edge = code < 0 ? -largest_code : largest_code;
    const float slope = table[edge + center + (code < 0 ? -1 : 1)] - table[edge + center];
    return std::min(most_bits, table[edge + center] + slope * static_cast<float>(code < 0 ? edge - code : code - edge));
  }

 private:
  static constexpr std::size_t class_count = static_cast<std::size_t>(largest_class - smallest_class + 1);
  static constexpr std::size_t width = 2 * static_cast<std::size_t>(largest_code) + 3;
  std::vector<float> bits_;  // [2, class_count, width]
};

}  // namespace lcomp
