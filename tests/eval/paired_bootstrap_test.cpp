#include "lcomp/eval/paired_bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lcomp/core/rng.h"

namespace lcomp {
namespace {

TEST(PairedBootstrap, OfAConstantDifferenceIsThatDifference) {
  const std::vector<double> first = {1, 2, 3, 4, 5, 6}, second = {0.5, 1.5, 2.5, 3.5, 4.5, 5.5};
  const auto difference = paired_bootstrap(first, second);
  ASSERT_TRUE(difference);
  EXPECT_EQ(difference->pairs, 6u);
  EXPECT_DOUBLE_EQ(difference->mean, 0.5);
  EXPECT_DOUBLE_EQ(difference->low, 0.5);
  EXPECT_DOUBLE_EQ(difference->high, 0.5);
  EXPECT_DOUBLE_EQ(difference->p_value, 2.0 / 10001);
  EXPECT_TRUE(difference->distinguishable());
}

TEST(PairedBootstrap, OfNoDifferenceIsNotDistinguishable) {
  const std::vector<double> values = {1, 2, 3, 4, 5};
  const auto difference = paired_bootstrap(values, values);
  ASSERT_TRUE(difference);
  EXPECT_EQ(difference->p_value, 1);
  EXPECT_FALSE(difference->distinguishable());
}

TEST(PairedBootstrap, FourPairsAreTooFew) {
  const std::vector<double> values(4, 1.0), others(4, 2.0);
  EXPECT_FALSE(paired_bootstrap(values, others));
}

// For normal differences the interval is mean +- 1.96 sigma / sqrt(n): with sigma 1 and n = 400, 0.098 on each side.
TEST(PairedBootstrap, HasTheWidthOfTheNormalInterval) {
  Rng rng(1);
  std::vector<double> first(400), second(400);
  for (std::size_t i = 0; i < first.size(); ++i) {
    second[i] = 10 * rng.uniform();  // shared difficulty, which pairing takes out
    first[i] = second[i] + 0.3 + rng.normal();
  }
  const auto difference = paired_bootstrap(first, second);
  EXPECT_NEAR(difference->high - difference->low, 2 * 0.098, 0.03);
  EXPECT_TRUE(difference->distinguishable());
  EXPECT_LT(difference->p_value, 0.01);
  const auto again = paired_bootstrap(first, second);
  EXPECT_EQ(again->low, difference->low);
  const auto other_way = paired_bootstrap(second, first);
  EXPECT_DOUBLE_EQ(other_way->mean, -difference->mean);
}

}  // namespace
}  // namespace lcomp
