#include "lcomp/quantizers/cost/input_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"

namespace lcomp {
namespace {

// Mostly normal, with a few large values on the positive side, as activations have.
Matrix activations(std::size_t rows, std::size_t cols) {
  Rng rng(9);
  Matrix x(rows, cols);
  for (float& v : x.span()) v = static_cast<float>(rng.normal());
  for (std::size_t i = 0; i < rows; i += 50) x(i, 3) = 60 + static_cast<float>(rng.normal());
  return x;
}

InputHistogram histogram_of(const Matrix& x) {
  InputHistogram histogram;
  histogram.add(x.view());
  return histogram;
}

double exact_error(const Matrix& x, const InputGrid& grid, bool symmetric) {
  double sum = 0;
  for (const float v : x.span()) {
    const float code = std::clamp(std::nearbyint(v / grid.scale) + static_cast<float>(grid.zero_point),
                                  symmetric ? 1.0f : 0.0f, 255.0f);
    const double difference = static_cast<double>(v) - static_cast<double>(grid.scale) * (code - grid.zero_point);
    sum += difference * difference;
  }
  return sum / static_cast<double>(x.size());
}

ActivationSetting setting_of(ActivationRange range, bool symmetric, double percentile = 99.99) {
  ActivationSetting setting;
  setting.granularity = ActivationGranularity::tensor;
  setting.range = range;
  setting.symmetric = symmetric;
  setting.percentile = percentile;
  return setting;
}

TEST(InputHistogram, BinsHoldTheValues) {
  Matrix x(1, 7);
  const float values[] = {0, 1, 1.01f, -1, 1000, -0.001f, 1.02f};
  std::copy(std::begin(values), std::end(values), x.data());
  const InputHistogram histogram = histogram_of(x);
  EXPECT_EQ(histogram.count(), 7u);
  EXPECT_EQ(histogram.minimum(), -1);
  EXPECT_EQ(histogram.maximum(), 1000);
  const auto bins = histogram.bins();
  ASSERT_EQ(bins.size(), 6u);  // 1 and 1.01 share one: its width is 1/64
  for (std::size_t b = 1; b < bins.size(); ++b) EXPECT_LE(bins[b - 1].high, bins[b].low);
  EXPECT_EQ(bins[0].high, -1);
  EXPECT_EQ(bins[3].low, 1);
  EXPECT_EQ(bins[3].high, 1 + 1.0 / 64);
  EXPECT_EQ(bins[3].count, 2u);
}

TEST(InputHistogram, ExtremesOfOneSign) {
  Matrix x(1, 3);
  x(0, 0) = -3, x(0, 1) = -1, x(0, 2) = -2;
  EXPECT_EQ(histogram_of(x).minimum(), -3);
  EXPECT_EQ(histogram_of(x).maximum(), -1);
  x(0, 0) = 3, x(0, 1) = 1, x(0, 2) = 2;
  EXPECT_EQ(histogram_of(x).minimum(), 1);
  EXPECT_EQ(histogram_of(x).maximum(), 3);
}

TEST(InputHistogram, PartsThreadsAndArchivesDoNotShow) {
  const Matrix x = activations(1000, 300);
  const std::size_t before = thread_count();
  set_thread_count(1);
  const auto expected = histogram_of(x).to_numbers();
  set_thread_count(3);
  InputHistogram parts;
  parts.add(x.view().rows_range(0, 1));
  parts.add(x.view().rows_range(1, 999));
  set_thread_count(before);
  EXPECT_EQ(parts.to_numbers(), expected);
  const InputHistogram read = InputHistogram::from_numbers(expected, "test");
  EXPECT_EQ(read.to_numbers(), expected);
  EXPECT_EQ(read.count(), x.size());
  EXPECT_TRUE(InputHistogram::from_numbers(InputHistogram().to_numbers(), "test").empty());
}

TEST(InputHistogram, DamagedNumbersAreRefused) {
  for (const std::vector<double>& numbers : {std::vector<double>{},
                                             {1},
                                             {0, 1, 5},
                                             {1, 0},
                                             {NAN, 1},
                                             {0, INFINITY},
                                             {0, 1, -1, 1},
                                             {0, 1, 32768, 1},
                                             {0, 1, 0.5, 1},
                                             {0, 1, 3, 0},
                                             {0, 1, 3, 1.5},
                                             {0, 1, 3, 1, 3, 1},
                                             {0, 1, 16320, 1}}) {
    EXPECT_THROW(InputHistogram::from_numbers(numbers, "test"), Error);
  }
}

// By hand: uniform values on [0, 127.5] with scale 1 round with error 1/12; [127.5, 130] clipped to 127 has the mean of
// r^2 over [0.5, 3].
TEST(RoundingError, ByHand) {
  const InputGrid grid{1, 128};
  const InputHistogram::Bin inside{0, 127, 127}, outside{127.5, 130, 1};
  EXPECT_NEAR(rounding_error({&inside, 1}, grid, true), 1.0 / 12, 1e-12);
  EXPECT_NEAR(rounding_error({&outside, 1}, grid, true), (27 - 0.125) / 3 / 2.5, 1e-12);
  const InputHistogram::Bin below{-130, -127, 1};
  EXPECT_NEAR(rounding_error({&below, 1}, grid, true), 27.0 / 3 / 3, 1e-12);
  EXPECT_NEAR(rounding_error({&below, 1}, grid, false), (8.0 / 3 + 1.0 / 12) / 3, 1e-12) << "-128 is a level";
}

TEST(RoundingError, IsThatOfTheValues) {
  const Matrix x = activations(2000, 50);
  const auto bins = histogram_of(x).bins();
  for (const bool symmetric : {true, false}) {
    for (const float end : {0.5f, 3.0f, 10.0f, 70.0f}) {
      const InputGrid grid = input_grid(-end / 2, end, symmetric);
      const double exact = exact_error(x, grid, symmetric);
      EXPECT_NEAR(rounding_error(bins, grid, symmetric), exact, 0.05 * exact) << end;
    }
  }
}

TEST(ChooseInputGrid, MinMaxIsExact) {
  const Matrix x = activations(100, 40);
  const auto [least, greatest] = std::minmax_element(x.span().begin(), x.span().end());
  for (const bool symmetric : {true, false}) {
    EXPECT_EQ(choose_input_grid(histogram_of(x), setting_of(ActivationRange::minmax, symmetric)),
              input_grid(*least, *greatest, symmetric));
  }
}

TEST(ChooseInputGrid, PercentileIsThatOfTheSortedValues) {
  const Matrix x = activations(4000, 50);  // 80 of 200000 values are about 60
  std::vector<float> sorted(x.span().begin(), x.span().end()), magnitudes;
  std::sort(sorted.begin(), sorted.end());
  for (const float v : sorted) magnitudes.push_back(std::abs(v));
  std::sort(magnitudes.begin(), magnitudes.end());
  const auto at = [](const std::vector<float>& values, double share) {
    return values[static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size()))) - 1];
  };
  for (const double percentile : {90.0, 99.9, 99.99, 100.0}) {
    const InputGrid grid =
        choose_input_grid(histogram_of(x), setting_of(ActivationRange::percentile, true, percentile));
    const float expected = at(magnitudes, percentile / 100);
    EXPECT_GE(127 * grid.scale, 0.9999f * expected) << percentile;
    EXPECT_LE(127 * grid.scale, (1 + 1.0f / 64) * expected) << percentile;
    const InputGrid wide =
        choose_input_grid(histogram_of(x), setting_of(ActivationRange::percentile, false, percentile));
    const float low = at(sorted, (100 - percentile) / 200 + 1e-9), high = at(sorted, 1 - (100 - percentile) / 200);
    EXPECT_NEAR(255 * wide.scale, high - low, (high - low) / 32) << percentile;
  }
}

// The chosen range beats both the whole one and any other that is tried here.
TEST(ChooseInputGrid, LeastSquaredError) {
  const Matrix x = activations(4000, 50);
  for (const bool symmetric : {true, false}) {
    const InputGrid chosen = choose_input_grid(histogram_of(x), setting_of(ActivationRange::mse, symmetric));
    const double error = exact_error(x, chosen, symmetric);
    const InputGrid whole = choose_input_grid(histogram_of(x), setting_of(ActivationRange::minmax, symmetric));
    EXPECT_LE(error, 1.001 * exact_error(x, whole, symmetric));
    for (float high = 1; high < 64; high *= 1.2f) {
      for (const float low : {-1.0f, -3.0f, -4.5f, -high}) {
        EXPECT_LE(error, 1.02 * exact_error(x, input_grid(low, high, symmetric), symmetric)) << low << ", " << high;
      }
    }
  }
  // Without outliers to give up, almost nothing is cut off; with one rare enough, it is.
  Matrix rare(1, 200000);
  Rng rng(4);
  for (float& v : rare.span()) v = static_cast<float>(rng.normal());
  rare(0, 77) = 30;
  EXPECT_LT(127 * choose_input_grid(histogram_of(rare), setting_of(ActivationRange::mse, true)).scale, 29);
}

}  // namespace
}  // namespace lcomp
