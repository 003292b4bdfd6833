#pragma once

#include <cstddef>
#include <cstdint>

namespace lcomp {

// Rounds a column of weights, each to the uniform grid of its own row (uniform_grid.h), vectorised by Highway with the
// same results on every machine and the same as round_to_grid().
//   codes[r] = clamp(round(values[r] / scales[r] + z - [z]) + [z], 0, highest),  z = zero_points[r], [z] its integer
//   decoded[r] = scales[r] * (codes[r] - zero_points[r])
// A scale of 0 gives the zero point for a code. `signs`: the grid of one symmetric bit, code 1 for values > 0.
void round_column(const float* values, const float* scales, const float* zero_points, float highest, bool signs,
                  std::size_t rows, std::uint8_t* codes, float* decoded);

}  // namespace lcomp
