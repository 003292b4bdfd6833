#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace lcomp {

// Some weights in ascending order with running sums, so that the squared error of rounding any stretch of them to one
// level takes no loop. Column weights c_j >= 0 say what an error of weight w_j costs; none given: all 1. When all are
// zero they count as 1 as well. Sums are in double.
class SortedWeights {
 public:
  SortedWeights() = default;
  SortedWeights(std::span<const float> weights, std::span<const float> column_weights) {
    assign(weights, column_weights);
  }

  // Sorts anew, in the memory that is there. weights: finite. O(n log n).
  void assign(std::span<const float> weights, std::span<const float> column_weights);

  std::size_t size() const { return values_.size(); }
  float value(std::size_t k) const { return values_[k]; }
  float largest_magnitude() const;  // 0 for no weights

  // Number of weights <= limit; at least `from`, where the search begins. O(log n), without branches that depend on
  // the weights.
  std::size_t count_up_to(float limit, std::size_t from = 0) const {
    const float* base = values_.data() + from;
    std::size_t left = values_.size() - from;
    while (left > 1) {
      const std::size_t half = left / 2;
      base += base[half - 1] <= limit ? half : 0;
      left -= half;
    }
    return static_cast<std::size_t>(base - values_.data()) + (left == 1 && *base <= limit ? 1 : 0);
  }

  // Of the weights [begin, end): sum c, sum c w, sum c w^2.
  double mass(std::size_t begin, std::size_t end) const { return mass_[end] - mass_[begin]; }
  double moment(std::size_t begin, std::size_t end) const { return moment_[end] - moment_[begin]; }
  double square(std::size_t begin, std::size_t end) const { return square_[end] - square_[begin]; }
  // Their weighted mean, within their range; the middle of the range where they have no mass. begin < end.
  double mean(std::size_t begin, std::size_t end) const;

 private:
  struct Weight {
    float value, cost;
  };
  std::vector<Weight> scratch_;
  std::vector<float> values_;
  std::vector<double> mass_, moment_, square_;  // [n + 1]: sums over the weights before each
};

// The number of ascending `levels` (a power of two) between two of which `weight` exceeds the middle: the rank of the
// level nearest to it, the lower of two equally near.
inline std::size_t nearest_level(std::span<const float> levels, float weight) {
  std::size_t rank = 0;
  for (std::size_t step = levels.size() / 2; step > 0; step /= 2) {
    const float middle = 0.5f * (levels[rank + step - 1] + levels[rank + step]);
    rank += weight > middle ? step : 0;
  }
  return rank;
}

}  // namespace lcomp
