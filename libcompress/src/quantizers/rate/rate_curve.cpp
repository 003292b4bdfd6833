#include "lcomp/quantizers/rate/rate_curve.h"

#include <algorithm>
#include <cmath>

#include "quantizers/rate/code_rates.h"

namespace lcomp {
namespace {

constexpr int widest_class = 1024;    // quarter octaves either way
constexpr double slope_step = 0.125;  // of precision

// Mean bits of codes whose levels have this mean magnitude, by class: their entropy.
std::vector<double> entropies(const Trellis& trellis) {
  const CodeRates rates(trellis);
  std::vector<double> bits;
  for (int c = CodeRates::smallest_class; c <= CodeRates::largest_class; ++c) {
    const double mean = std::exp2(static_cast<double>(c) / CodeRates::classes_per_octave);
    if (mean >= 8) {  // where cells are narrow beside the density: that of the density, less log2 of a cell
      bits.push_back(std::log2(2 * std::exp(1.0) * mean / trellis.spacing()));
      continue;
    }
    double sum = 0;
    for (const int parity : {0, 1}) {
      const float* table = rates.table(parity, c);
      for (std::int32_t code = -CodeRates::center; code <= CodeRates::center; ++code) {
        const auto b = static_cast<double>(table[code + CodeRates::center]);
        if (b < static_cast<double>(CodeRates::most_bits)) sum += 0.5 * b * std::exp2(-b);
      }
    }
    bits.push_back(sum);
  }
  // Weights far below a step take next to nothing: states whose levels are all odd are not entered for them.
  for (std::size_t c = bits.size() - 1; c-- > 0;) bits[c] = std::min(bits[c], bits[c + 1]);
  const auto one = static_cast<std::size_t>(-4 - CodeRates::smallest_class);  // magnitude 1/2
  for (std::size_t c = 0; c < one; ++c) {
    bits[c] = std::min(bits[c], bits[one] * std::exp2(static_cast<double>(c) - static_cast<double>(one)));
  }
  return bits;
}

const std::vector<double>& entropies_of(int trellis_memory) {
  static const std::vector<double> plain = entropies(Trellis(0));
  static const std::vector<double> coded = entropies(Trellis(2));  // all trellises offer the same levels
  return trellis_memory == 0 ? plain : coded;
}

// Between classes, and beyond the table.
double bits_at(const std::vector<double>& table, double c) {
  if (c <= CodeRates::smallest_class) return table.front() * std::exp2(c - CodeRates::smallest_class);
  if (c >= CodeRates::largest_class) {
    return table.back() + (c - CodeRates::largest_class) / CodeRates::classes_per_octave;
  }
  const double at = c - CodeRates::smallest_class;
  const auto below = static_cast<std::size_t>(at);
  return std::lerp(table[below], table[std::min(below + 1, table.size() - 1)], at - static_cast<double>(below));
}

}  // namespace

void RateCurve::add(double log2_magnitude, std::uint64_t weights) {
  if (counts_.empty()) counts_.assign(2 * widest_class + 1, 0);
  const double scaled = std::round(CodeRates::classes_per_octave * log2_magnitude);
  const double c = std::clamp(scaled, double{-widest_class}, double{widest_class});
  counts_[static_cast<std::size_t>(static_cast<int>(c) + widest_class)] += weights;
  weights_ += weights;
}

double RateCurve::bits(double precision) const {
  const std::vector<double>& table = entropies_of(trellis_memory_);
  double bits = 0;
  for (std::size_t k = 0; k < counts_.size(); ++k) {
    if (counts_[k] == 0) continue;
    const double c = static_cast<int>(k) - widest_class + CodeRates::classes_per_octave * precision;
    bits += static_cast<double>(counts_[k]) * bits_at(table, c);
  }
  return bits;
}

double RateCurve::precision(double bits) const {
  double low = -widest_precision;
  double high = widest_precision;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (this->bits(middle) < bits ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double RateCurve::slope(double precision) const {
  return (bits(precision + slope_step) - bits(precision - slope_step)) / (2 * slope_step);
}

double RateCurve::weight_slope(int trellis_memory, double log2_magnitude) {
  const std::vector<double>& table = entropies_of(trellis_memory);
  const auto bits_of = [&](double magnitude) { return bits_at(table, CodeRates::classes_per_octave * magnitude); };
  return (bits_of(log2_magnitude + slope_step) - bits_of(log2_magnitude - slope_step)) / (2 * slope_step);
}

}  // namespace lcomp
