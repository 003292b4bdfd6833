#include "lcomp/allocators/rate_budget.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using Across = AllocationPolicy::Across;

RateBudgetComponent component(std::uint64_t weights, double log2_magnitude, int kind = 0) {
  RateBudgetComponent c;
  c.kind = kind;
  c.weights = weights;
  c.side_bytes = 100;
  c.curve = RateCurve(3);
  c.curve.add(log2_magnitude, weights);
  return c;
}

// Compresses components whose true bytes are the curve's times a factor that the budget doesn't know.
std::uint64_t run(RateBudget& budget, const std::vector<RateBudgetComponent>& components, double factor,
                  std::vector<double>* precisions = nullptr) {
  std::uint64_t total = 0;
  const auto bytes_at = [&](std::size_t k, double precision) {
    return 100 + static_cast<std::uint64_t>(factor * components[k].curve.bits(precision) / 8);
  };
  for (std::size_t k = 0; k < components.size(); ++k) {
    for (bool may_repeat = true;; may_repeat = false) {
      const SizeOrder order = budget.order(k);
      const std::uint64_t bytes =
          order.bytes ? static_cast<std::uint64_t>(static_cast<double>(*order.bytes) * (1 - 0.5 * order.tolerance))
                      : bytes_at(k, *order.precision);
      if (budget.took(k, bytes, order.precision, may_repeat)) continue;
      if (precisions != nullptr && order.precision) precisions->push_back(*order.precision);
      total += bytes;
      break;
    }
  }
  return total;
}

TEST(RateBudgetTest, MeetsTheBudgetWithinAThousandth) {
  std::vector<RateBudgetComponent> components = {component(500000, 1.5, 1)};
  for (int k = 0; k < 30; ++k) components.push_back(component(100000 + 7000 * static_cast<std::uint64_t>(k), 0.1 * k));
  for (const Across across : {Across::equal, Across::by_cost}) {
    for (const double factor : {0.93, 1.0, 1.08}) {
      for (const std::uint64_t budget : {600000u, 1800000u, 4000000u}) {
        RateBudget shares(across, budget, components);
        const std::uint64_t total = run(shares, components, factor);
        EXPECT_LE(total, budget);
        EXPECT_GE(static_cast<double>(total), 0.999 * static_cast<double>(budget)) << factor;
      }
    }
  }
}

TEST(RateBudgetTest, OneMultiplierIsOnePrecision) {
  std::vector<RateBudgetComponent> components;
  for (int k = 0; k < 20; ++k) components.push_back(component(100000, 0.2 * k));
  components[3].precision_offset = 0.5;
  RateBudget shares(Across::by_cost, 800000, components);
  std::vector<double> precisions;
  run(shares, components, 1.0, &precisions);
  ASSERT_EQ(precisions.size(), 19u);
  for (std::size_t k = 0; k < precisions.size(); ++k) {
    EXPECT_NEAR(precisions[k], precisions[0] + (k == 3 ? 0.5 : 0), 1e-3) << k;
  }
}

TEST(RateBudgetTest, PinsHold) {
  std::vector<RateBudgetComponent> components;
  for (int k = 0; k < 5; ++k) components.push_back(component(100000, k));
  components[0].min_bits = 3;
  components[4].max_bits = 2;
  RateBudget shares(Across::by_cost, 5 * 100000 * 2 / 8, components);
  const SizeOrder first = shares.order(0);
  ASSERT_TRUE(first.bytes.has_value());
  EXPECT_EQ(*first.bytes, 37500u);
  shares.took(0, 37500, std::nullopt, true);
  ASSERT_TRUE(shares.order(4).bytes.has_value());
  EXPECT_EQ(*shares.order(4).bytes, 25000u);
}

TEST(RateBudgetTest, RefusesBudgetsOutOfReach) {
  const std::vector<RateBudgetComponent> components = {component(1000, 1), component(1000, 1)};
  EXPECT_THROW(RateBudget(Across::by_cost, 199, components), Error);
  EXPECT_THROW(RateBudget(Across::by_cost, 10000, components), Error);
  std::vector<RateBudgetComponent> pinned = components;
  pinned[0].min_bits = 8;
  EXPECT_THROW(RateBudget(Across::by_cost, 1000, pinned), Error);
  EXPECT_NO_THROW(RateBudget(Across::by_cost, 1200, pinned));
}

TEST(RateCurveTest, ABitMorePrecisionIsABitMoreAWeight) {
  RateCurve curve(0);
  curve.add(2.5, 1000);
  EXPECT_NEAR(curve.bits(3) - curve.bits(2), 1000, 5);
  EXPECT_NEAR(curve.slope(4), 1000, 5);
  // The entropy of a Laplacian of mean magnitude 2^5.5 steps: log2(2 e 2^5.5).
  EXPECT_NEAR(curve.bits(3) / 1000, std::log2(2 * std::exp(1.0)) + 5.5, 0.01);
  EXPECT_LT(curve.bits(-20), 1);
  EXPECT_NEAR(curve.precision(curve.bits(1.25)), 1.25, 1e-6);
}

}  // namespace
}  // namespace lcomp
