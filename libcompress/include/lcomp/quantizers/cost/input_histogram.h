#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/activation_quantization.h"

namespace lcomp {

// How the values of a linear's input are distributed: counts in bins of a fixed relative width, 64 an octave of each
// sign, so that any percentile is known to 1.6 % whatever the scale; the least and greatest value exactly.
class InputHistogram {
 public:
  // values: finite, [any, any]. The counts depend neither on the division into calls nor on the number of threads.
  // About 2 ns a value and core.
  void add(ConstMatrixView values);

  bool empty() const { return count_ == 0; }
  std::uint64_t count() const { return count_; }
  float minimum() const { return minimum_; }  // 0 when empty
  float maximum() const { return maximum_; }

  // A bin that is not empty: the interval [low, high] that its values lie in.
  struct Bin {
    double low = 0, high = 0;
    std::uint64_t count = 0;
  };
  std::vector<Bin> bins() const;  // ascending

  // For archives: {minimum, maximum, bin, count, bin, count, ...}, and back. Throws Error naming `where` for what
  // to_numbers() never gives.
  std::vector<double> to_numbers() const;
  static InputHistogram from_numbers(std::span<const double> numbers, const std::string& where);

  static std::size_t memory();  // bytes of one that is not empty

 private:
  std::vector<std::uint64_t> counts_;  // by the value's sign, exponent and first six bits of its fraction
  std::uint64_t count_ = 0;
  float minimum_ = 0, maximum_ = 0;
};

// The grid that an input is rounded to, for a setting with a fixed range (asserted; so is that the histogram is not
// empty):
//   minmax      the range of the values
//   percentile  symmetric: the least c such that p % of the values are in [-c, c]; else the range without the (100 - p)
//   / 2 %
//               lowest and highest values; to the resolution of the histogram
//   mse         the range with the least mean squared difference between values and what they are rounded to, clipped
//               ones included, values being spread evenly over their bins: of 1 / 16 octave steps below the extremes,
//               the two ends of an asymmetric range in turn
InputGrid choose_input_grid(const InputHistogram& histogram, const ActivationSetting& setting);

// That difference, sum over the bins / count.
double rounding_error(std::span<const InputHistogram::Bin> bins, const InputGrid& grid, bool symmetric);

}  // namespace lcomp
