#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lcomp {

// How a method fits levels to the groups of a weight and stores what was chosen: what level_rounding.h works with,
// with error compensation and without. Rows may come from different threads.
class LevelGroups {
 public:
  virtual ~LevelGroups() = default;

  // Before the groups of a row: its original weights, in the order of the groups, and what errors of its columns cost
  // (empty: all the same). Error compensation may change them until fit() sees them.
  virtual void begin_row(std::size_t row, std::span<const float> weights, std::span<const float> column_weights) = 0;

  // Fits a group and stores what its levels are made of. levels: [2^bits], ascending, as they decode.
  virtual void fit(std::size_t row, std::size_t group, std::span<const float> weights,
                   std::span<const float> column_weights, std::span<float> levels) = 0;

  // Stores a row: ranks[j] is the rank of stored column j's level among those of its group.
  virtual void finish_row(std::size_t row, std::span<const std::uint8_t> ranks) = 0;
};

}  // namespace lcomp
