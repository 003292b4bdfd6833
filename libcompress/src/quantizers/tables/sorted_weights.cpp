#include "quantizers/tables/sorted_weights.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace lcomp {

void SortedWeights::assign(std::span<const float> weights, std::span<const float> column_weights) {
  assert(column_weights.empty() || column_weights.size() == weights.size());
  const bool costs_are_given =
      std::any_of(column_weights.begin(), column_weights.end(), [](float cost) { return cost > 0; });
  const std::size_t n = weights.size();
  scratch_.resize(n);
  for (std::size_t j = 0; j < n; ++j) scratch_[j] = {weights[j], costs_are_given ? column_weights[j] : 1.0f};
  std::sort(scratch_.begin(), scratch_.end(),
            [](const Weight& a, const Weight& b) { return a.value != b.value ? a.value < b.value : a.cost < b.cost; });
  values_.resize(n);
  mass_.assign(n + 1, 0);
  moment_.assign(n + 1, 0);
  square_.assign(n + 1, 0);
  for (std::size_t k = 0; k < n; ++k) {
    const double value = static_cast<double>(scratch_[k].value);
    const double cost = static_cast<double>(scratch_[k].cost);
    values_[k] = scratch_[k].value;
    mass_[k + 1] = mass_[k] + cost;
    moment_[k + 1] = moment_[k] + cost * value;
    square_[k + 1] = square_[k] + cost * value * value;
  }
}

float SortedWeights::largest_magnitude() const {
  return values_.empty() ? 0 : std::max(std::abs(values_.front()), std::abs(values_.back()));
}

double SortedWeights::mean(std::size_t begin, std::size_t end) const {
  assert(begin < end);
  const double low = static_cast<double>(values_[begin]);
  const double high = static_cast<double>(values_[end - 1]);
  const double c = mass(begin, end);
  if (!(c > 0)) return (low + high) / 2;
  return std::clamp(moment(begin, end) / c, low, high);
}

}  // namespace lcomp
