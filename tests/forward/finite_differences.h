#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/core/rng.h"

// Gradients to compare with: central differences of a function written in double.
namespace lcomp::testing {

// d f / d at[i] for every i, by the five-point rule: error O(step^4) of the function's fifth derivative, about 1e-9
// here for functions of size 1.
inline std::vector<double> finite_differences(const std::function<double(std::span<const double>)>& f,
                                              std::vector<double> at, double step = 1e-3) {
  std::vector<double> gradient(at.size());
  for (std::size_t i = 0; i < at.size(); ++i) {
    const double x = at[i];
    const auto value = [&](double offset) {
      at[i] = x + offset;
      return f(at);
    };
    gradient[i] = (8 * (value(step) - value(-step)) - (value(2 * step) - value(-2 * step))) / (12 * step);
    at[i] = x;
  }
  return gradient;
}

template <typename T>
std::vector<double> to_doubles(std::span<T> values) {
  return {values.begin(), values.end()};
}

// max |found - expected| / max |expected|; infinity for a NaN.
template <typename T>
double relative_error(std::span<T> found, std::span<const double> expected) {
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(found[i])) return std::numeric_limits<double>::infinity();
    difference = std::max(difference, std::abs(static_cast<double>(found[i]) - expected[i]));
    largest = std::max(largest, std::abs(expected[i]));
  }
  return largest == 0 ? difference : difference / largest;
}

inline Matrix normal_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed, double scale = 1) {
  Rng rng(seed);
  Matrix values(rows, cols);
  for (float& v : values.span()) v = static_cast<float>(scale * rng.normal());
  return values;
}

}  // namespace lcomp::testing
