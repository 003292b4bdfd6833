#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lcomp/formats/rate_coded.h"

namespace lcomp {

// Steps of a row: that of column j is base * (powers[j] * octave), each product rounded.
struct RowSteps {
  float base = 1;
  float octave = 1;
  const float* powers = nullptr;  // [cols]

  RowSteps from(std::size_t col) const { return {base, octave, powers + col}; }
};

// The powers of two in the steps of a rate-coded weight (rate_coded.h), cut so that a row needs no look-up for each
// column: 2^((r + c) / n) = 2^((r mod n + c) / n) * 2^floor(r / n), where the first factor is an array of all columns,
// one of n, and the second is a power of two, by which products are exact.
class StepTable {
 public:
  // powers: step_powers(steps_per_octave). Keeps views of both.
  StepTable(std::span<const float> powers, int steps_per_octave, std::span<const std::uint8_t> col_steps)
      : powers_(powers), steps_per_octave_(static_cast<std::size_t>(steps_per_octave)), col_steps_(col_steps) {}

  // base: what the powers of this row are multiplied with. Valid as long as the table.
  RowSteps row(std::uint8_t row_step, float base);

 private:
  std::span<const float> powers_;
  std::size_t steps_per_octave_;
  std::span<const std::uint8_t> col_steps_;
  std::array<std::vector<float>, largest_steps_per_octave> of_remainder_;  // made when the first row has it
};

}  // namespace lcomp
