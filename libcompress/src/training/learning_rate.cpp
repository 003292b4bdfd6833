#include "lcomp/training/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lcomp {

std::string_view name(RateSchedule schedule) {
  switch (schedule) {
    case RateSchedule::cosine:
      return "cosine";
    case RateSchedule::linear:
      return "linear";
    case RateSchedule::constant:
      return "constant";
  }
  return "";
}

double LearningRate::at(std::uint64_t step, std::uint64_t steps) const {
  if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double length = static_cast<double>(steps > warmup ? steps - warmup : 1);
  const double part = std::min(1.0, static_cast<double>(step + 1 - warmup) / length);
  switch (schedule) {
    case RateSchedule::cosine:
      return peak * (final_fraction + (1 - final_fraction) / 2 * (1 + std::cos(std::numbers::pi * part)));
    case RateSchedule::linear:
      return peak * (1 - (1 - final_fraction) * part);
    case RateSchedule::constant:
      break;
  }
  return peak;
}

}  // namespace lcomp
