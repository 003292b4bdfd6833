#pragma once

#include <cstdint>
#include <string_view>

namespace lcomp {

enum class RateSchedule {
  cosine,    // falls along half a cosine
  linear,    // falls along a line
  constant,  // stays
};
std::string_view name(RateSchedule schedule);

// Of step t = 0, 1, ..., steps - 1, with warmup w, peak r and final rate f r:
//   t < w:    r (t + 1) / w
//   cosine:   f r + (1 - f) r / 2 (1 + cos(pi (t + 1 - w) / (steps - w)))
//   linear:   r (1 - (1 - f) (t + 1 - w) / (steps - w))
//   constant: r
// so that the last step has the final rate.
struct LearningRate {
  double peak = 1e-3;
  std::uint64_t warmup = 0;
  RateSchedule schedule = RateSchedule::cosine;
  double final_fraction = 0.1;

  double at(std::uint64_t step, std::uint64_t steps) const;
};

}  // namespace lcomp
