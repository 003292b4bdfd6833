#include "quantizers/tables/scaled_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "lcomp/formats/group_scales.h"

namespace lcomp {
namespace {

// With each weight at the nearest level for one scale s: error(s) = square - 2 s moment + s^2 mass.
struct Assignment {
  double mass = 0;    // sum c level^2
  double moment = 0;  // sum c w level
  double square = 0;  // sum c w^2

  double error(double scale) const { return square - 2 * scale * moment + scale * scale * mass; }
  double best_scale() const { return mass > 0 ? moment / mass : 0; }
  double least_error() const { return mass > 0 ? square - moment * moment / mass : square; }
};

// The largest weight that is rounded to level k or a lower one.
float upper_end(std::span<const float> levels, std::size_t k, double scale) {
  return static_cast<float>(scale * (static_cast<double>(levels[k]) + static_cast<double>(levels[k + 1])) / 2);
}

// The level, from `first` on, that `weight` is rounded to.
std::size_t level_of(std::span<const float> levels, double scale, float weight, std::size_t first) {
  std::size_t last = levels.size() - 1;
  while (first < last) {
    const std::size_t middle = first + (last - first) / 2;
    if (weight <= upper_end(levels, middle, scale)) {
      last = middle;
    } else {
      first = middle + 1;
    }
  }
  return first;
}

Assignment assign(const SortedWeights& weights, std::span<const float> levels, double scale) {
  Assignment sums;
  sums.square = weights.square(0, weights.size());
  const bool few_weights = 2 * weights.size() < levels.size();  // most levels have none: go from weight to weight
  std::size_t begin = 0;
  for (std::size_t k = 0; k < levels.size() && begin < weights.size(); ++k) {
    if (few_weights) k = level_of(levels, scale, weights.value(begin), k);
    const std::size_t end =
        k + 1 < levels.size() ? weights.count_up_to(upper_end(levels, k, scale), begin) : weights.size();
    if (end == begin) continue;
    const double level = static_cast<double>(levels[k]);
    sums.mass += weights.mass(begin, end) * level * level;
    sums.moment += weights.moment(begin, end) * level;
    begin = end;
  }
  return sums;
}

struct Candidate {
  double scale = 0;
  double error = std::numeric_limits<double>::infinity();
};

// Levels for the scale, scale for the levels, until neither changes.
Candidate take_turns(const SortedWeights& weights, std::span<const float> levels, double scale) {
  Candidate best;
  for (int turn = 0; turn < 30; ++turn) {
    const Assignment sums = assign(weights, levels, scale);
    if (!(sums.least_error() < best.error) || !(sums.best_scale() > 0)) break;
    scale = sums.best_scale();
    best = {scale, sums.least_error()};
  }
  return best;
}

double search(const SortedWeights& weights, std::span<const float> levels, double absmax_scale) {
  constexpr int starts = 38;
  std::array<Candidate, 3> best;
  for (int i = 0; i < starts; ++i) {
    const double scale = 1.6 * absmax_scale * std::exp2(-i / 6.0);
    const Candidate candidate{scale, assign(weights, levels, scale).least_error()};
    if (!(candidate.error < best.back().error)) continue;
    best.back() = candidate;
    std::sort(best.begin(), best.end(), [](const Candidate& a, const Candidate& b) { return a.error < b.error; });
  }
  Candidate found;
  for (const Candidate& start : best) {
    if (!(start.scale > 0)) continue;
    const Candidate candidate = take_turns(weights, levels, start.scale);
    if (candidate.error < found.error) found = candidate;
  }
  return found.scale > 0 ? found.scale : absmax_scale;
}

}  // namespace

float LevelTable::largest_magnitude() const { return std::max(std::abs(levels.front()), std::abs(levels.back())); }

LevelTable make_level_table(std::span<const float> level_of_code) {
  std::vector<std::size_t> order(level_of_code.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return level_of_code[a] < level_of_code[b]; });
  LevelTable table;
  for (const std::size_t code : order) {
    table.levels.push_back(level_of_code[code]);
    table.codes.push_back(static_cast<std::uint8_t>(code));
  }
  return table;
}

float fit_table_scale(const SortedWeights& weights, const LevelTable& table, TableFit fit, const ScaleValues& scales) {
  const float largest = weights.largest_magnitude();
  if (largest == 0 || (scales.storage == ScaleStorage::u8 && scales.row_scale == 0)) return 0;
  const float absmax = largest / table.largest_magnitude();
  const auto stored = [&scales](double scale) {
    return round_scale(static_cast<float>(scale), scales.storage, scales.row_scale);
  };
  float best = stored(absmax);
  if (fit == TableFit::absmax || !std::isfinite(best)) return best;
  double least = table_error(weights, table, best);
  const double found = search(weights, table.levels, static_cast<double>(absmax));
  // 8-bit scales are far apart: the neighbours of the nearest may fit better.
  const double step = scales.storage == ScaleStorage::u8 ? static_cast<double>(scales.row_scale) / 255 : 0;
  for (const double scale : {found, found - step, found + step}) {
    if (!(scale > 0)) continue;
    const double error = table_error(weights, table, stored(scale));
    if (error < least) {
      least = error;
      best = stored(scale);
    }
  }
  return best;
}

double table_error(const SortedWeights& weights, const LevelTable& table, float scale) {
  const double s = static_cast<double>(scale);
  return std::max(0.0, assign(weights, table.levels, s).error(s));
}

}  // namespace lcomp
