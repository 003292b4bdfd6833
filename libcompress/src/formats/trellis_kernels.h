#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "lcomp/formats/trellis.h"

namespace lcomp {

// Magnitudes of levels: exact below 32, then eight to the octave.
inline constexpr std::size_t magnitude_count = 32 + 8 * 20;
constexpr std::size_t magnitude_index(std::uint32_t magnitude) {
  if (magnitude < 32) return magnitude;
  const auto octave = static_cast<std::size_t>(std::bit_width(magnitude)) - 6;
  return 32 + 8 * octave + (magnitude >> (octave + 2) & 7);
}

// One row of codes, [cols], of |q| <= largest_rate_code, in states of the trellis, [cols], which become those after it;
// vectorised (Highway). The same on every machine.
// parities: of the states before.
void parities_of_row(const Trellis& trellis, std::span<const std::int32_t> codes, std::uint32_t* states,
                     std::uint8_t* parities);
// magnitudes: magnitude_index() of the levels' magnitudes, which are added to the columns' sums. Returns the row's sum.
std::uint64_t magnitudes_of_row(const Trellis& trellis, std::span<const std::int32_t> codes, std::uint32_t* states,
                                std::uint8_t* magnitudes, std::uint64_t* col_sums);

}  // namespace lcomp
