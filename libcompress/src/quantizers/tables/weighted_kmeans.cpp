#include "quantizers/tables/weighted_kmeans.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace lcomp {
namespace {

constexpr int most_iterations = 100;

// Where stretches may begin and end: between different weights. Of more than `most` such places the ones that lie
// evenly in sum of mass^(1/3) gap^(2/3), which is how the best levels lie where there are many (Panter and Dite, 1951).
std::vector<std::size_t> possible_cuts(const SortedWeights& weights, std::size_t most) {
  std::vector<std::size_t> cuts{0};
  std::vector<double> position{0};
  for (std::size_t k = 1; k < weights.size(); ++k) {
    const double gap = static_cast<double>(weights.value(k)) - static_cast<double>(weights.value(k - 1));
    if (!(gap > 0)) continue;
    position.push_back(position.back() + std::cbrt(weights.mass(cuts.back(), k) * gap * gap));
    cuts.push_back(k);
  }
  if (cuts.size() <= most + 1) {
    cuts.push_back(weights.size());
    return cuts;
  }
  std::vector<std::size_t> some{0};
  for (std::size_t i = 1; i < cuts.size(); ++i) {
    const double due = position.back() * static_cast<double>(some.size()) / static_cast<double>(most + 1);
    if (position[i] >= due) some.push_back(cuts[i]);
  }
  some.push_back(weights.size());
  return some;
}

// The dynamic program, one level after another.
class BestStretches {
 public:
  BestStretches(const SortedWeights& weights, std::vector<std::size_t> cuts)
      : cuts_(std::move(cuts)), places_(cuts_.size()), sums_(places_), before_(places_), error_(places_) {
    for (std::size_t i = 0; i < places_; ++i) {
      sums_[i] = {weights.mass(0, cuts_[i]), weights.moment(0, cuts_[i]), weights.square(0, cuts_[i])};
    }
  }

  // Ends of the best `count` stretches, as indices of weights, from 0 to the last.
  std::vector<std::size_t> find(std::size_t count) {
    std::vector<std::vector<std::uint32_t>> begin_of(count, std::vector<std::uint32_t>(places_, 0));
    for (std::size_t i = 0; i < places_; ++i) error_[i] = error_between(0, i);
    for (std::size_t m = 1; m < count; ++m) {
      before_.swap(error_);
      begin_ = &begin_of[m];
      fill(0, places_ - 1, 0, places_ - 1);
    }
    std::vector<std::size_t> ends(count + 1, 0);
    std::size_t end = places_ - 1;
    for (std::size_t m = count; m > 0; --m) {
      ends[m] = cuts_[end];
      end = begin_of[m - 1][end];
    }
    return ends;
  }

 private:
  struct Sums {
    double mass, moment, square;
  };

  // Of the weights between two places about their mean.
  double error_between(std::size_t begin, std::size_t end) const {
    const double mass = sums_[end].mass - sums_[begin].mass;
    const double moment = sums_[end].moment - sums_[begin].moment;
    const double square = sums_[end].square - sums_[begin].square;
    return mass > 0 ? std::max(0.0, square - moment * moment / mass) : 0;
  }

  // error_ and begin_ of the places [first, last], whose best beginnings lie in [low, high].
  void fill(std::size_t first, std::size_t last, std::size_t low, std::size_t high) {
    const std::size_t middle = first + (last - first) / 2;
    double best = std::numeric_limits<double>::infinity();
    std::size_t best_begin = low;
    for (std::size_t h = low; h <= std::min(middle, high); ++h) {
      const double error = before_[h] + error_between(h, middle);
      if (error < best) {
        best = error;
        best_begin = h;
      }
    }
    error_[middle] = best;
    (*begin_)[middle] = static_cast<std::uint32_t>(best_begin);
    if (middle > first) fill(first, middle - 1, low, best_begin);
    if (middle < last) fill(middle + 1, last, best_begin, high);
  }

  const std::vector<std::size_t> cuts_;
  const std::size_t places_;
  std::vector<Sums> sums_;              // of the weights before each place
  std::vector<double> before_, error_;  // least error of the weights before each place, with a level less, and now
  std::vector<std::uint32_t>* begin_ = nullptr;
};

// The beginnings and ends of the stretches that are nearest to each of the ascending levels.
void assign_stretches(const SortedWeights& weights, const std::vector<double>& levels, std::vector<std::size_t>& ends) {
  ends.assign(levels.size() + 1, 0);
  for (std::size_t k = 0; k + 1 < levels.size(); ++k) {
    ends[k + 1] = weights.count_up_to(static_cast<float>((levels[k] + levels[k + 1]) / 2), ends[k]);
  }
  ends.back() = weights.size();
}

// Each level to the mean of its stretch; a level without weights stays. True when one moved.
bool move_to_means(const SortedWeights& weights, const std::vector<std::size_t>& ends, std::vector<double>& levels) {
  bool moved = false;
  for (std::size_t k = 0; k < levels.size(); ++k) {
    if (ends[k] == ends[k + 1]) continue;
    const double mean = weights.mean(ends[k], ends[k + 1]);
    moved = moved || mean != levels[k];
    levels[k] = mean;
  }
  return moved;
}

void iterate(const SortedWeights& weights, std::vector<double>& levels) {
  std::vector<std::size_t> ends, last_ends;
  for (int iteration = 0; iteration < most_iterations; ++iteration) {
    assign_stretches(weights, levels, ends);
    if (ends == last_ends || !move_to_means(weights, ends, levels)) return;
    last_ends = ends;
  }
}

// An index below cumulative.size() with probability proportional to its share of the last of the running sums.
std::size_t draw(const std::vector<double>& cumulative, Rng& rng) {
  const double at = rng.uniform() * cumulative.back();
  const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), at);
  return std::min(static_cast<std::size_t>(found - cumulative.begin()), cumulative.size() - 1);
}

}  // namespace

std::vector<double> exact_kmeans(const SortedWeights& weights, std::size_t levels, std::size_t most_ends) {
  std::vector<double> result(levels, 0);
  if (weights.size() == 0) return result;
  std::vector<std::size_t> cuts = possible_cuts(weights, std::max(most_ends, levels));
  const std::size_t count = std::min(levels, cuts.size() - 1);
  const std::vector<std::size_t> ends = BestStretches(weights, std::move(cuts)).find(count);
  for (std::size_t k = 0; k < levels; ++k) {
    const std::size_t stretch = std::min(k, count - 1);
    result[k] = ends[stretch] < ends[stretch + 1] ? weights.mean(ends[stretch], ends[stretch + 1]) : 0;
  }
  std::sort(result.begin(), result.end());
  iterate(weights, result);  // stays where it is when all places could be ends
  return result;
}

std::vector<double> lloyd_kmeans(const SortedWeights& weights, std::size_t levels, Rng& rng) {
  std::vector<double> result;
  const std::size_t n = weights.size();
  if (n == 0) return std::vector<double>(levels, 0);
  std::vector<double> distance(n, std::numeric_limits<double>::infinity()), cumulative(n);
  while (result.size() < levels) {
    double sum = 0;
    for (std::size_t k = 0; k < n; ++k) {
      const double value = static_cast<double>(weights.value(k));
      if (!result.empty()) distance[k] = std::min(distance[k], (value - result.back()) * (value - result.back()));
      sum += weights.mass(k, k + 1) * (result.empty() ? 1 : distance[k]);
      cumulative[k] = sum;
    }
    if (!(sum > 0)) break;  // every weight is a level
    result.push_back(static_cast<double>(weights.value(draw(cumulative, rng))));
  }
  std::sort(result.begin(), result.end());
  result.resize(levels, result.back());
  iterate(weights, result);
  return result;
}

double kmeans_error(const SortedWeights& weights, const std::vector<double>& levels) {
  std::vector<std::size_t> ends;
  assign_stretches(weights, levels, ends);
  double sum = 0;
  for (std::size_t k = 0; k < levels.size(); ++k) {
    sum += weights.square(ends[k], ends[k + 1]) - 2 * levels[k] * weights.moment(ends[k], ends[k + 1]) +
           levels[k] * levels[k] * weights.mass(ends[k], ends[k + 1]);
  }
  return std::max(0.0, sum);
}

}  // namespace lcomp
