#include "quantizers/rate/code_rates.h"

#include <algorithm>
#include <cmath>

namespace lcomp {
namespace {

// -log2 of the probability that a Laplacian variable of this mean magnitude lies in [low, high].
double bits_of_interval(double low, double high, double mean) {
  if (low < 0 && high > 0) return -std::log2(1 - 0.5 * std::exp(low / mean) - 0.5 * std::exp(-high / mean));
  const double nearer = std::min(std::abs(low), std::abs(high));
  // 1/2 e^(-nearer / mean) (1 - e^(-(high - low) / mean)), without underflow.
  return 1 + nearer / mean / std::log(2.0) - std::log2(-std::expm1(-(high - low) / mean));
}

}  // namespace

CodeRates::CodeRates(const Trellis& trellis) : bits_(2 * class_count * width) {
  const double half = 0.5 * trellis.spacing();
  for (std::uint32_t parity = 0; parity < 2; ++parity) {
    for (int c = smallest_class; c <= largest_class; ++c) {
      const double mean = std::exp2(static_cast<double>(c) / classes_per_octave);
      float* row = bits_.data() + (parity * class_count + static_cast<std::size_t>(c - smallest_class)) * width;
      for (std::int32_t code = -center; code <= center; ++code) {
        const double level = trellis.level(parity, code);
        row[code + center] =
            std::min(most_bits, static_cast<float>(bits_of_interval(level - half, level + half, mean)));
      }
    }
  }
}

int CodeRates::class_of(double log2_mean_magnitude) {
  const double scaled = std::round(classes_per_octave * log2_mean_magnitude);
  return static_cast<int>(std::clamp(scaled, double{smallest_class}, double{largest_class}));
}

}  // namespace lcomp
