#include "lcomp/quantizers/cost/input_histogram.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"

namespace lcomp {
namespace {

constexpr int fraction_bits = 23 - 6;  // that a bin leaves open
constexpr std::size_t bin_count = std::size_t{1} << (32 - fraction_bits);
constexpr std::size_t negative = bin_count / 2;  // first bin of negative values, by growing magnitude
constexpr std::uint32_t sign_bit = 0x80000000u;

float lower_magnitude(std::size_t bin) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bin % negative) << fraction_bits);
}

// The end of a bin is the beginning of the next; of the last bin of finite values, the greatest of them.
float upper_magnitude(std::size_t bin) {
  const float next = lower_magnitude(bin % negative + 1);
  return std::isfinite(next) ? next : std::numeric_limits<float>::max();
}

struct Counts {
  std::vector<std::uint64_t> own_bins;
  // Bit patterns of floats order positive numbers as signed integers, and negative ones, by magnitude, as unsigned.
  std::int32_t greatest_signed = std::numeric_limits<std::int32_t>::min();
  std::int32_t least_signed = std::numeric_limits<std::int32_t>::max();
  std::uint32_t greatest = 0;
  std::uint32_t least = std::numeric_limits<std::uint32_t>::max();

  void add(std::span<const float> values, std::vector<std::uint64_t>& bins) {
    for (const float value : values) {
      const auto bits = std::bit_cast<std::uint32_t>(value);
      ++bins[bits >> fraction_bits];
      greatest_signed = std::max(greatest_signed, static_cast<std::int32_t>(bits));
      least_signed = std::min(least_signed, static_cast<std::int32_t>(bits));
      greatest = std::max(greatest, bits);
      least = std::min(least, bits);
    }
  }
  // Without a positive value the greatest is the negative one of least magnitude, and the other way round.
  float maximum() const {
    return std::bit_cast<float>(greatest_signed >= 0 ? static_cast<std::uint32_t>(greatest_signed) : least);
  }
  float minimum() const {
    return std::bit_cast<float>((greatest & sign_bit) != 0 ? greatest : static_cast<std::uint32_t>(least_signed));
  }
};

// Integral over [0, x] of the squared difference between x and the nearest number that the grid has.
class ErrorIntegral {
 public:
  ErrorIntegral(const InputGrid& grid, bool symmetric)
      : step_(static_cast<double>(grid.scale)),
        low_(((symmetric ? 1.0 : 0.0) - grid.zero_point) * step_),
        high_((255.0 - grid.zero_point) * step_),
        at_low_(inside(low_)),
        at_high_(inside(high_)) {}

  double operator()(double x) const {
    if (x > high_) return at_high_ + cube(x - high_) / 3;
    if (x < low_) return at_low_ + cube(x - low_) / 3;
    return inside(x);
  }

 private:
  static double cube(double x) { return x * x * x; }
  // With t = x / step: 1/12 for each whole step, and the cubic of the part of one.
  double inside(double x) const {
    const double t = x / step_, whole = std::nearbyint(t);
    return cube(step_) * (whole / 12 + cube(t - whole) / 3);
  }

  double step_, low_, high_, at_low_, at_high_;
};

constexpr int steps_an_octave = 16, octaves = 10;

// The factor of `whole` ... whole / 2^octaves, in steps, for which error(value) is least; the widest of equals.
template <typename Error>
float best_end(float whole, const Error& error) {
  float best = whole;
  double least = std::numeric_limits<double>::infinity();
  for (int step = 0; step <= steps_an_octave * octaves; ++step) {
    const float end = whole * std::exp2(-static_cast<float>(step) / steps_an_octave);
    const double e = error(end);
    if (e < least) {
      least = e;
      best = end;
    }
  }
  return best;
}

InputGrid least_error_grid(const InputHistogram& histogram, bool symmetric) {
  const std::vector<InputHistogram::Bin> bins = histogram.bins();
  const auto error = [&](float low, float high) {
    return rounding_error(bins, input_grid(low, high, symmetric), symmetric);
  };
  float low = std::min(histogram.minimum(), 0.0f), high = std::max(histogram.maximum(), 0.0f);
  if (symmetric) {
    const float end = best_end(std::max(-low, high), [&](float c) { return error(-c, c); });
    return input_grid(-end, end, true);
  }
  const float lowest = low, highest = high;
  for (int round = 0; round < 4; ++round) {
    const float high_before = high, low_before = low;
    high = best_end(highest, [&](float c) { return error(low, c); });
    low = best_end(lowest, [&](float c) { return error(c, high); });
    if (high == high_before && low == low_before) break;
  }
  return input_grid(low, high, false);
}

InputGrid percentile_grid(const InputHistogram& histogram, double percentile, bool symmetric) {
  const std::vector<InputHistogram::Bin> bins = histogram.bins();
  const double total = static_cast<double>(histogram.count());
  const double lowest = static_cast<double>(histogram.minimum()), highest = static_cast<double>(histogram.maximum());
  double low = lowest, high = highest;
  if (symmetric) {
    std::vector<std::pair<double, std::uint64_t>> magnitudes;  // end of a bin, its count
    for (const auto& bin : bins) magnitudes.emplace_back(std::max(std::abs(bin.low), std::abs(bin.high)), bin.count);
    std::sort(magnitudes.begin(), magnitudes.end());
    double within = 0, end = 0;
    for (const auto& [magnitude, count] : magnitudes) {
      end = magnitude;
      within += static_cast<double>(count);
      if (within >= percentile / 100 * total) break;
    }
    low = std::max(lowest, -end);
    high = std::min(highest, end);
  } else {
    const double left_out = (100 - percentile) / 200 * total;  // at each end
    double below = 0, above = 0;
    for (auto bin = bins.begin(); bin != bins.end(); ++bin) {
      low = bin->low;
      below += static_cast<double>(bin->count);
      if (below > left_out) break;
    }
    for (auto bin = bins.rbegin(); bin != bins.rend(); ++bin) {
      high = bin->high;
      above += static_cast<double>(bin->count);
      if (above > left_out) break;
    }
    low = std::max(low, lowest);
    high = std::min(high, highest);
  }
  return input_grid(static_cast<float>(low), static_cast<float>(high), symmetric);
}

}  // namespace

std::size_t InputHistogram::memory() { return bin_count * sizeof(std::uint64_t); }

void InputHistogram::add(ConstMatrixView values) {
  if (values.size() == 0) return;
  counts_.resize(bin_count, 0);
  // A part is large enough to pay for a table of its own. The first counts in the sums, the others are added after it.
  const std::size_t least_rows = std::max<std::size_t>(1, (std::size_t{1} << 17) / values.cols());
  const std::size_t rows = std::max(least_rows, divide_up(values.rows(), thread_count()));
  std::vector<Counts> parts(divide_up(values.rows(), rows));
  parallel_chunks(0, values.rows(), rows, [&](std::size_t begin, std::size_t end) {
    std::vector<std::uint64_t>& bins = begin == 0 ? counts_ : parts[begin / rows].own_bins;
    bins.resize(bin_count, 0);
    for (std::size_t i = begin; i < end; ++i) parts[begin / rows].add(values.row(i), bins);
  });
  if (count_ == 0) minimum_ = maximum_ = values(0, 0);
  for (const Counts& part : parts) {
    for (std::size_t b = 0; b < part.own_bins.size(); ++b) counts_[b] += part.own_bins[b];
    minimum_ = std::min(minimum_, part.minimum());
    maximum_ = std::max(maximum_, part.maximum());
  }
  count_ += values.size();
}

std::vector<InputHistogram::Bin> InputHistogram::bins() const {
  std::vector<Bin> bins;
  if (empty()) return bins;
  for (std::size_t b = bin_count; b-- > negative;) {
    if (counts_[b] == 0) continue;
    bins.push_back({-static_cast<double>(upper_magnitude(b)), -static_cast<double>(lower_magnitude(b)), counts_[b]});
  }
  for (std::size_t b = 0; b < negative; ++b) {
    if (counts_[b] == 0) continue;
    bins.push_back({static_cast<double>(lower_magnitude(b)), static_cast<double>(upper_magnitude(b)), counts_[b]});
  }
  return bins;
}

std::vector<double> InputHistogram::to_numbers() const {
  std::vector<double> numbers = {static_cast<double>(minimum_), static_cast<double>(maximum_)};
  for (std::size_t b = 0; b < counts_.size(); ++b) {
    if (counts_[b] == 0) continue;
    numbers.push_back(static_cast<double>(b));
    numbers.push_back(static_cast<double>(counts_[b]));
  }
  return numbers;
}

InputHistogram InputHistogram::from_numbers(std::span<const double> numbers, const std::string& where) {
  const auto refuse = [&] {
    throw Error({where, "no distribution of values", "", "delete the archive and calibrate again"});
  };
  if (numbers.size() < 2 || numbers.size() % 2 != 0) refuse();
  InputHistogram histogram;
  histogram.minimum_ = static_cast<float>(numbers[0]);
  histogram.maximum_ = static_cast<float>(numbers[1]);
  if (!std::isfinite(histogram.minimum_) || !(histogram.minimum_ <= histogram.maximum_) ||
      !std::isfinite(histogram.maximum_)) {
    refuse();
  }
  if (numbers.size() > 2) histogram.counts_.resize(bin_count, 0);
  for (std::size_t i = 2; i < numbers.size(); i += 2) {
    const double bin = numbers[i], count = numbers[i + 1];
    if (!(bin >= 0 && bin < static_cast<double>(bin_count)) || bin != std::floor(bin)) refuse();
    if (!(count >= 1 && count <= 0x1.0p53) || count != std::floor(count)) refuse();
    const auto b = static_cast<std::size_t>(bin);
    if (!std::isfinite(lower_magnitude(b)) || histogram.counts_[b] != 0) refuse();
    histogram.counts_[b] = static_cast<std::uint64_t>(count);
    histogram.count_ += histogram.counts_[b];
  }
  return histogram;
}

double rounding_error(std::span<const InputHistogram::Bin> bins, const InputGrid& grid, bool symmetric) {
  const ErrorIntegral integral(grid, symmetric);
  double error = 0, count = 0;
  for (const auto& bin : bins) {
    error += static_cast<double>(bin.count) * (integral(bin.high) - integral(bin.low)) / (bin.high - bin.low);
    count += static_cast<double>(bin.count);
  }
  return count == 0 ? 0 : error / count;
}

InputGrid choose_input_grid(const InputHistogram& histogram, const ActivationSetting& setting) {
  assert(!histogram.empty() && setting.is_static());
  switch (setting.range) {
    case ActivationRange::percentile:
      return percentile_grid(histogram, setting.percentile, setting.symmetric);
    case ActivationRange::mse:
      return least_error_grid(histogram, setting.symmetric);
    case ActivationRange::minmax:
    case ActivationRange::dynamic:
      break;
  }
  return input_grid(histogram.minimum(), histogram.maximum(), setting.symmetric);
}

}  // namespace lcomp
