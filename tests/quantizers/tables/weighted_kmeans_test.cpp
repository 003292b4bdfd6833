#include "quantizers/tables/weighted_kmeans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "quantizers/tables/sorted_weights.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;

std::vector<float> normal_weights(std::size_t n, Rng& rng) {
  std::vector<float> weights(n);
  for (float& w : weights) w = static_cast<float>(rng.normal());
  return weights;
}

std::vector<float> random_costs(std::size_t n, Rng& rng) {
  std::vector<float> costs(n);
  for (float& c : costs) c = static_cast<float>(std::exp(2 * rng.normal()));
  return costs;
}

// sum c (w - nearest level)^2, one weight at a time.
double error_by_definition(std::span<const float> weights, std::span<const float> costs,
                           const std::vector<double>& levels) {
  double sum = 0;
  for (std::size_t j = 0; j < weights.size(); ++j) {
    double least = std::numeric_limits<double>::infinity();
    for (const double level : levels) least = std::min(least, std::pow(static_cast<double>(weights[j]) - level, 2));
    sum += least * (costs.empty() ? 1 : static_cast<double>(costs[j]));
  }
  return sum;
}

// The least error of `levels` stretches of sorted weights from `begin` on, by trying them all.
double least_by_trying(const SortedWeights& weights, std::size_t begin, std::size_t levels) {
  const auto error = [&weights](std::size_t first, std::size_t last) {
    double sum = 0;
    const double mean = weights.mean(first, last);
    for (std::size_t k = first; k < last; ++k) {
      sum += weights.mass(k, k + 1) * std::pow(static_cast<double>(weights.value(k)) - mean, 2);
    }
    return sum;
  };
  if (begin == weights.size()) return 0;
  double least = error(begin, weights.size());
  if (levels == 1) return least;
  for (std::size_t end = begin + 1; end < weights.size(); ++end) {
    least = std::min(least, error(begin, end) + least_by_trying(weights, end, levels - 1));
  }
  return least;
}

TEST(SortedWeightsTest, SumsAndCountsByHand) {
  const std::vector<float> values{3, -1, 2, 2};
  const std::vector<float> costs{1, 2, 3, 4};
  const SortedWeights weights(values, costs);
  EXPECT_EQ(weights.value(0), -1);
  EXPECT_EQ(weights.value(3), 3);
  EXPECT_EQ(weights.largest_magnitude(), 3);
  EXPECT_EQ(weights.count_up_to(-2), 0u);
  EXPECT_EQ(weights.count_up_to(-1), 1u);
  EXPECT_EQ(weights.count_up_to(2), 3u);
  EXPECT_EQ(weights.count_up_to(2, 2), 3u);
  EXPECT_EQ(weights.count_up_to(-5, 2), 2u);
  EXPECT_EQ(weights.count_up_to(9), 4u);
  EXPECT_EQ(weights.mass(0, 3), 2 + 3 + 4);
  EXPECT_EQ(weights.moment(0, 4), -2 + 14 + 3);
  EXPECT_EQ(weights.square(1, 4), 28 + 9);
  EXPECT_EQ(weights.mean(1, 3), 2);
  const SortedWeights costless(values, std::vector<float>(4, 0.0f));
  EXPECT_EQ(costless.mass(0, 4), 4);  // as if they all cost 1
}

TEST(SortedWeightsTest, CountsAsAScanDoes) {
  Rng rng(1);
  for (std::size_t n = 1; n < 40; ++n) {
    const std::vector<float> values = normal_weights(n, rng);
    const SortedWeights weights(values, {});
    for (int attempt = 0; attempt < 20; ++attempt) {
      const float limit = attempt % 2 == 0 ? static_cast<float>(rng.normal()) : values[rng.below(n)];
      const auto count = std::count_if(values.begin(), values.end(), [limit](float w) { return w <= limit; });
      EXPECT_EQ(weights.count_up_to(limit), static_cast<std::size_t>(count));
    }
  }
}

TEST(SortedWeightsTest, NearestLevelIsTheNearest) {
  EXPECT_EQ(nearest_level(std::vector<float>{-1, 0, 1, 4}, 0.5f), 1u);  // the lower of two equally near
  Rng rng(2);
  for (const std::size_t count : {2u, 4u, 32u, 256u}) {
    std::vector<float> levels = normal_weights(count, rng);
    std::sort(levels.begin(), levels.end());
    for (int attempt = 0; attempt < 100; ++attempt) {
      const float w = static_cast<float>(2 * rng.normal());
      float least = std::numeric_limits<float>::infinity();
      for (const float level : levels) least = std::min(least, std::abs(level - w));
      EXPECT_FLOAT_EQ(std::abs(levels[nearest_level(levels, w)] - w), least);
    }
  }
}

TEST(WeightedKmeansTest, ByHand) {
  const std::vector<float> values{0, 1, 10, 12, 12};
  EXPECT_THAT(exact_kmeans(SortedWeights(values, {}), 2), ElementsAre(0.5, 34.0 / 3));
  EXPECT_THAT(exact_kmeans(SortedWeights(values, std::vector<float>{1, 3, 2, 1, 1}), 2), ElementsAre(0.75, 11));
  EXPECT_THAT(exact_kmeans(SortedWeights(values, {}), 8), ElementsAre(0, 1, 10, 12, 12, 12, 12, 12));
  EXPECT_THAT(exact_kmeans(SortedWeights(), 2), ElementsAre(0, 0));
  Rng rng(3);
  EXPECT_THAT(lloyd_kmeans(SortedWeights(values, {}), 8, rng), ElementsAre(0, 1, 10, 12, 12, 12, 12, 12));
  EXPECT_THAT(lloyd_kmeans(SortedWeights(values, {}), 2, rng), ElementsAre(0.5, 34.0 / 3));
}

TEST(WeightedKmeansTest, ExactIsTheLeastOfAllStretches) {
  Rng rng(4);
  for (std::size_t n = 1; n <= 11; ++n) {
    const std::vector<float> values = normal_weights(n, rng);
    const std::vector<float> costs = random_costs(n, rng);
    const SortedWeights weights(values, costs);
    for (const std::size_t levels : {1u, 2u, 4u}) {
      const double least = least_by_trying(weights, 0, levels);
      EXPECT_NEAR(error_by_definition(values, costs, exact_kmeans(weights, levels)), least, 1e-9 * (1 + least));
    }
  }
}

TEST(WeightedKmeansTest, FewEndsAreNearlyAsGood) {
  Rng rng(5);
  const std::vector<float> values = normal_weights(1500, rng);
  const std::vector<float> costs = random_costs(1500, rng);
  const SortedWeights weights(values, costs);
  for (const std::size_t levels : {4u, 16u}) {
    const double least = kmeans_error(weights, exact_kmeans(weights, levels));
    EXPECT_LE(kmeans_error(weights, exact_kmeans(weights, levels, 256)), 1.01 * least);
    EXPECT_LE(least, kmeans_error(weights, exact_kmeans(weights, levels, 256)) + 1e-9);
    Rng start(6);
    const std::vector<double> lloyd = lloyd_kmeans(weights, levels, start);
    EXPECT_LE(least, kmeans_error(weights, lloyd));
    EXPECT_LE(kmeans_error(weights, lloyd), 1.6 * least);
    EXPECT_NEAR(kmeans_error(weights, lloyd), error_by_definition(values, costs, lloyd), 1e-6 * least);
  }
}

TEST(WeightedKmeansTest, MoreLevelsHaveASmallerError) {
  Rng rng(7);
  const SortedWeights weights(normal_weights(600, rng), random_costs(600, rng));
  double last = std::numeric_limits<double>::infinity();
  for (std::size_t levels = 1; levels <= 256; levels *= 2) {
    const double error = kmeans_error(weights, exact_kmeans(weights, levels, 256));
    EXPECT_LT(error, 0.6 * last);
    last = error;
  }
}

TEST(WeightedKmeansTest, WeightsWithoutCostDontMatter) {
  const std::vector<float> values{-50, 0, 1, 2, 3, 70};
  const std::vector<float> costs{0, 1, 1, 1, 1, 0};
  EXPECT_NEAR(error_by_definition(values, costs, exact_kmeans(SortedWeights(values, costs), 4)), 0, 1e-12);
  Rng rng(8);
  EXPECT_NEAR(error_by_definition(values, costs, lloyd_kmeans(SortedWeights(values, costs), 4, rng)), 0, 1e-12);
}

}  // namespace
}  // namespace lcomp
