#include "allocators/knapsack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "lcomp/io/config_reader.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Components = std::vector<std::vector<KnapsackChoice>>;

void expect_consistent(const Components& components, const KnapsackSolution& solution, std::uint64_t budget) {
  ASSERT_EQ(solution.choices.size(), components.size());
  std::uint64_t bytes = 0;
  double loss = 0;
  for (std::size_t i = 0; i < components.size(); ++i) {
    bytes += components[i].at(solution.choices[i]).bytes;
    loss += components[i][solution.choices[i]].loss;
  }
  EXPECT_EQ(bytes, solution.bytes);
  EXPECT_LE(bytes, budget);
  EXPECT_NEAR(loss, solution.loss, 1e-12 * (1 + std::abs(loss)));
}

class KnapsackGoldenTest : public ::testing::TestWithParam<const char*> {};

TEST_P(KnapsackGoldenTest, FindsTheOptimum) {
  const auto path = testing::golden("allocation") / (std::string(GetParam()) + ".json");
  LCOMP_REQUIRE(path);
  const nlohmann::json golden = parse_json_file(path);
  Components components;
  for (std::size_t i = 0; i < golden.at("bytes").size(); ++i) {
    components.emplace_back();
    for (std::size_t j = 0; j < golden["bytes"][i].size(); ++j) {
      components.back().push_back({golden["bytes"][i][j].get<std::uint64_t>(), golden["loss"][i][j].get<double>()});
    }
  }
  for (const nlohmann::json& example : golden.at("cases")) {
    const auto budget = example.at("budget").get<std::uint64_t>();
    const KnapsackSolution solution = solve_knapsack(components, budget);
    expect_consistent(components, solution, budget);
    EXPECT_EQ(solution.loss, example.at("optimum").get<double>()) << budget << " bytes";
    EXPECT_EQ(solution.bound, solution.loss) << budget << " bytes";
  }
  EXPECT_THROW(solve_knapsack(components, golden.at("infeasible_budget").get<std::uint64_t>()), Error);
}

INSTANTIATE_TEST_SUITE_P(Golden, KnapsackGoldenTest, ::testing::Values("convex", "nonconvex", "nonmonotone"),
                         [](const auto& test) { return std::string(test.param); });

double least_by_trying_all(const Components& components, std::size_t i, std::uint64_t budget) {
  if (i == components.size()) return 0;
  double least = std::numeric_limits<double>::infinity();
  for (const KnapsackChoice& choice : components[i]) {
    if (choice.bytes > budget) continue;
    least = std::min(least, choice.loss + least_by_trying_all(components, i + 1, budget - choice.bytes));
  }
  return least;
}

TEST(KnapsackTest, IsAsGoodAsTryingAllSelections) {
  rc::check([](std::uint64_t seed) {
    Rng rng(seed);
    Components components(1 + rng.below(5));
    for (auto& choices : components) {
      choices.resize(1 + rng.below(5));
      // Few values, so that ties and dominated choices are frequent; negative losses as well.
      for (KnapsackChoice& choice : choices) choice = {rng.below(12), static_cast<double>(rng.below(9)) - 2};
    }
    const std::uint64_t budget = rng.below(50);
    const double least = least_by_trying_all(components, 0, budget);
    if (std::isinf(least)) {
      RC_ASSERT_THROWS_AS(solve_knapsack(components, budget), Error);
      return;
    }
    const KnapsackSolution solution = solve_knapsack(components, budget);
    RC_ASSERT(solution.loss == least);
    RC_ASSERT(solution.bound == least);
    RC_ASSERT(solution.bytes <= budget);
  });
}

// As a model has them: 211 components of megabytes, losses that fall fourfold with each bit.
TEST(KnapsackTest, TakesAModelsComponents) {
  Rng rng(7);
  Components components(211);
  std::uint64_t most = 0;
  for (auto& choices : components) {
    const std::uint64_t weights = 1000 * (100 + rng.below(900));
    const double sensitivity = std::exp2(4 * rng.normal());
    for (std::uint64_t bits = 1; bits <= 8; ++bits) {
      choices.push_back({weights * bits / 8 + weights / 64, sensitivity * std::exp2(-2.0 * static_cast<double>(bits))});
    }
    most += choices.back().bytes;
  }
  const KnapsackSolution solution = solve_knapsack(components, most * 3 / 8);
  expect_consistent(components, solution, most * 3 / 8);
  EXPECT_EQ(solution.bound, solution.loss);
  EXPECT_GT(static_cast<double>(solution.bytes), 0.9999 * static_cast<double>(most * 3 / 8));
}

TEST(KnapsackTest, SaysHowFarItMayBeFromTheBestWhenStatesRunOut) {
  Components components(12);
  Rng rng(3);
  for (auto& choices : components) {
    for (int j = 0; j < 6; ++j) choices.push_back({1000 + rng.below(1000000), rng.uniform()});
  }
  const std::uint64_t budget = 4000000;
  const KnapsackSolution best = solve_knapsack(components, budget);
  EXPECT_EQ(best.bound, best.loss);
  const KnapsackSolution hurried = solve_knapsack(components, budget, 1);
  expect_consistent(components, hurried, budget);
  EXPECT_LE(hurried.bound, best.loss);
  EXPECT_GE(hurried.loss, best.loss);
}

TEST(KnapsackTest, TakesWhatHasRoomAfterTheRelaxationIsFull) {
  // The hull's next step doesn't fit; the choice off the hull does.
  const Components components = {{{10, 8.0}, {15, 7.0}, {20, 0.0}}, {{10, 1.0}}};
  const KnapsackSolution solution = solve_knapsack(components, 26);
  EXPECT_EQ(solution.choices, (std::vector<std::size_t>{1, 0}));
  EXPECT_EQ(solution.bytes, 25U);
}

TEST(KnapsackTest, RefusesWhatItCantDo) {
  EXPECT_THAT(testing::message([&] {
                solve_knapsack({{{10, 1.0}, {5, 2.0}}, {{7, 0.0}}}, 11);
              }),
              AllOf(HasSubstr("11 bytes"), HasSubstr("at least 12 bytes")))
      << "a budget that nothing fits in was accepted";
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(solve_knapsack({{{1, nan}}}, 10), Error);
}

TEST(KnapsackTest, NothingToChooseIsNothing) {
  const KnapsackSolution solution = solve_knapsack({}, 0);
  EXPECT_TRUE(solution.choices.empty());
  EXPECT_EQ(solution.loss, 0);
}

}  // namespace
}  // namespace lcomp
