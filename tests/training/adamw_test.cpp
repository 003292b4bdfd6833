#include "lcomp/training/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lcomp/training/learning_rate.h"

namespace lcomp {
namespace {

// First update: m / (1 - beta1) = g and v / (1 - beta2) = g^2, so that the step is rate * g / (|g| + epsilon), after
// p = 2 has become 2 (1 - 0.1 * 0.5) = 1.9.
TEST(AdamW, FirstUpdateByHand) {
  const std::vector<float> gradient = {8, -8};
  std::vector<float> m(2, 0.0F), v(2, 0.0F), p = {2, 2};
  adamw_update({0.9, 0.99, 1e-8, 0.5}, 0.1, 1, 0.5F, gradient, m, v, p);
  EXPECT_NEAR(p[0], 1.8, 1e-6);
  EXPECT_NEAR(p[1], 2.0, 1e-6);
  EXPECT_NEAR(m[0], 0.4, 1e-6);   // 0.1 * 0.5 * 8
  EXPECT_NEAR(v[1], 0.16, 1e-6);  // 0.01 * (0.5 * 8)^2
}

// Second update with gradient 0: m = 0.9 * 0.4, v = 0.99 * 0.16; p -= 0.1 (0.36 / 0.19) / sqrt(0.1584 / 0.0199).
TEST(AdamW, CorrectsTheBiasOfLaterUpdates) {
  const std::vector<float> gradient = {0};
  std::vector<float> m = {0.4F}, v = {0.16F}, p = {1};
  adamw_update({0.9, 0.99, 0, 0}, 0.1, 2, 1, gradient, m, v, p);
  EXPECT_NEAR(p[0], 1 - 0.1 * (0.36 / 0.19) / std::sqrt(0.1584 / 0.0199), 1e-6);
}

TEST(AdamW, NormOfManyValues) {
  EXPECT_NEAR(euclidean_norm(std::vector<float>{3, -4}), 5, 1e-12);
  EXPECT_NEAR(euclidean_norm(std::vector<float>(100000, 0.1F)), 0.1F * std::sqrt(1e5), 1e-9);
  EXPECT_EQ(euclidean_norm({}), 0);
}

TEST(LearningRate, RisesThenFallsToItsFinalRate) {
  const LearningRate cosine{1, 4, RateSchedule::cosine, 0.1};
  EXPECT_DOUBLE_EQ(cosine.at(0, 12), 0.25);
  EXPECT_DOUBLE_EQ(cosine.at(3, 12), 1);
  EXPECT_NEAR(cosine.at(7, 12), 0.55, 1e-12);  // half of the way
  EXPECT_NEAR(cosine.at(11, 12), 0.1, 1e-12);
  const LearningRate linear{2, 0, RateSchedule::linear, 0.5};
  EXPECT_DOUBLE_EQ(linear.at(1, 4), 1.5);
  EXPECT_DOUBLE_EQ(linear.at(3, 4), 1);
  const LearningRate constant{2, 2, RateSchedule::constant, 0.5};
  EXPECT_DOUBLE_EQ(constant.at(100, 4), 2);
}

}  // namespace
}  // namespace lcomp
