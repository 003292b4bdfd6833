#include "allocators/fixed_allocator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Choices = std::vector<std::size_t>;

// Components of the given numbers of weights, widths 1 .. 8, bits * weights / 8 bytes; the error of a weight is
// sensitivity * 4^-bits.
struct Example {
  AllocationProblem problem;
  std::vector<double> sensitivity;

  Example(const std::vector<std::uint64_t>& weights, std::vector<double> per_weight, std::uint64_t budget)
      : sensitivity(std::move(per_weight)) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      AllocatableComponent component{"c" + std::to_string(i), {}};
      for (int bits = 1; bits <= 8; ++bits) {
        component.choices.push_back({bits, weights[i] * static_cast<std::uint64_t>(bits) / 8});
      }
      problem.components.push_back(std::move(component));
      problem.parameters += weights[i];
      sensitivity[i] *= static_cast<double>(weights[i]);
    }
    problem.budget = budget;
  }

  double error(std::size_t component, std::size_t choice) const {
    return sensitivity[component] * std::pow(0.25, problem.components[component].choices[choice].bits);
  }
  Choices allocate() const {
    return FixedAllocator().allocate(problem, [this](std::size_t i, std::size_t c) { return error(i, c); });
  }
  std::uint64_t bytes(const Choices& choices) const {
    std::uint64_t sum = problem.other_bytes;
    for (std::size_t i = 0; i < choices.size(); ++i) sum += problem.components[i].choices[choices[i]].bytes;
    return sum;
  }
  double total_error(const Choices& choices) const {
    double sum = 0;
    for (std::size_t i = 0; i < choices.size(); ++i) sum += error(i, choices[i]);
    return sum;
  }
};

TEST(FixedAllocatorTest, RaisesTheMostSensitiveByHand) {
  // 100 bytes a bit each. 950: all at 3 bits take 900, 50 are left: none fits. 1000: one goes up, the most sensitive.
  EXPECT_EQ(Example({800, 800, 800}, {1, 3, 2}, 950).allocate(), Choices({2, 2, 2}));
  EXPECT_EQ(Example({800, 800, 800}, {1, 3, 2}, 1000).allocate(), Choices({2, 3, 2}));
  EXPECT_EQ(Example({800, 800, 800}, {1, 3, 2}, 1199).allocate(), Choices({2, 3, 3}));
  EXPECT_EQ(Example({800, 800, 800}, {1, 3, 2}, 1200).allocate(), Choices({3, 3, 3}));
  EXPECT_EQ(Example({800, 800, 800}, {1, 3, 2}, 100000).allocate(), Choices({7, 7, 7}));
}

TEST(FixedAllocatorTest, PassesOverWhatNoLongerFits) {
  // All at 1 bit: 1200 bytes. 150 more: the large component (1000 a bit) is the most sensitive but can't be raised.
  EXPECT_EQ(Example({8000, 800, 800}, {9, 1, 2}, 1350).allocate(), Choices({0, 0, 1}));
}

TEST(FixedAllocatorTest, LeavesWhatDoesNotGain) {
  const Example example({800, 800}, {0, 0}, 350);
  EXPECT_EQ(example.allocate(), Choices({0, 0}));
}

TEST(FixedAllocatorTest, CountsTheOtherBytes) {
  Example example({800}, {1}, 300);
  example.problem.other_bytes = 50;
  EXPECT_EQ(example.allocate(), Choices({1}));
}

TEST(FixedAllocatorTest, TakesTheNextSmallerWidthWhereOneIsMissing) {
  Example example({800, 800}, {1, 1}, 800);
  auto& choices = example.problem.components[1].choices;
  choices = {choices[1], choices[7]};  // 2 and 8 bits
  // 4 bits each would take 400 + (2 bits) 200; 6 bits: 600 + 200.
  EXPECT_EQ(example.allocate(), Choices({5, 0}));
}

TEST(FixedAllocatorTest, RefusesWithTheSmallestSize) {
  Example example({800, 800}, {1, 1}, 199);
  EXPECT_THAT(testing::message([&] { example.allocate(); }),
              AllOf(HasSubstr("199 bytes"), HasSubstr("at least 200 bytes: 1.0000 bits per weight, ratio 16.0000")));
  example.problem.budget = 200;
  EXPECT_EQ(example.allocate(), Choices({0, 0}));
}

TEST(FixedAllocatorTest, AsksForEachErrorAtMostOnce) {
  const Example example({800, 800, 800}, {1, 3, 2}, 1000);
  std::map<std::pair<std::size_t, std::size_t>, int> asked;
  FixedAllocator().allocate(example.problem, [&](std::size_t i, std::size_t c) {
    ++asked[{i, c}];
    return example.error(i, c);
  });
  EXPECT_EQ(asked.size(), 6u);
  for (const auto& [key, times] : asked) EXPECT_EQ(times, 1);
}

// All choices of a small example.
template <typename Visit>
void for_each_choice(const Example& example, const Visit& visit) {
  Choices choices(example.problem.components.size(), 0);
  for (;;) {
    visit(choices);
    std::size_t i = 0;
    while (i < choices.size() && ++choices[i] == example.problem.components[i].choices.size()) choices[i++] = 0;
    if (i == choices.size()) return;
  }
}

TEST(FixedAllocatorTest, AgainstEveryPossibility) {
  EXPECT_TRUE(rc::check([] {
    const auto count = *rc::gen::inRange<std::size_t>(1, 4);
    const auto weights = *rc::gen::container<std::vector<std::uint64_t>>(
        count, rc::gen::map(rc::gen::inRange<std::uint64_t>(1, 40), [](auto n) { return 8 * n; }));
    const auto sensitivities = *rc::gen::container<std::vector<int>>(count, rc::gen::inRange(1, 1000));
    const auto budget = *rc::gen::inRange<std::uint64_t>(1, 900);
    const Example example(weights, {sensitivities.begin(), sensitivities.end()}, budget);
    double best = std::numeric_limits<double>::infinity();
    double best_uniform = best;
    for_each_choice(example, [&](const Choices& choices) {
      if (example.bytes(choices) > budget) return;
      best = std::min(best, example.total_error(choices));
      const bool uniform = std::all_of(choices.begin(), choices.end(), [&](std::size_t c) { return c == choices[0]; });
      if (uniform) best_uniform = std::min(best_uniform, example.total_error(choices));
    });
    if (std::isinf(best)) {
      RC_ASSERT_THROWS_AS(example.allocate(), Error);
      return;
    }
    const Choices chosen = example.allocate();
    RC_ASSERT(example.bytes(chosen) <= budget);
    RC_ASSERT(example.total_error(chosen) >= best * (1 - 1e-12));
    RC_ASSERT(example.total_error(chosen) <= best_uniform * (1 + 1e-12));
    // Two widths that differ by one bit, and no raise that would still fit.
    const std::size_t least = *std::min_element(chosen.begin(), chosen.end());
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      RC_ASSERT(chosen[i] <= least + 1);
      if (chosen[i] > least || least == 7) continue;
      Choices raised = chosen;
      raised[i] = least + 1;
      RC_ASSERT(example.bytes(raised) > budget);
    }
    // A single component gets the best width there is.
    if (count == 1) RC_ASSERT(example.total_error(chosen) <= best * (1 + 1e-12));
  }));
}

TEST(FixedAllocatorTest, StaysWithinTheBudgetsOfTheReferenceProblems) {
  LCOMP_REQUIRE(testing::golden("allocation/convex.json"));
  const nlohmann::json json = parse_json_file(testing::golden("allocation/convex.json"));
  AllocationProblem problem;
  for (std::size_t i = 0; i < json.at("bytes").size(); ++i) {
    AllocatableComponent component{std::to_string(i), {}};
    for (std::size_t c = 0; c < 8; ++c) {
      component.choices.push_back({static_cast<int>(c + 1), json["bytes"][i][c].get<std::uint64_t>()});
    }
    problem.components.push_back(std::move(component));
  }
  const auto error = [&json](std::size_t i, std::size_t c) { return json["loss"][i][c].get<double>(); };
  for (const auto& instance : json.at("cases")) {
    problem.budget = instance.at("budget");
    std::uint64_t bytes = 0;
    double loss = 0;
    const Choices chosen = FixedAllocator().allocate(problem, error);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      bytes += problem.components[i].choices[chosen[i]].bytes;
      loss += error(i, chosen[i]);
    }
    EXPECT_LE(bytes, problem.budget);
    EXPECT_GE(loss, instance.at("optimum").get<double>());
  }
  problem.budget = json.at("infeasible_budget");
  EXPECT_THROW(FixedAllocator().allocate(problem, error), Error);
}

}  // namespace
}  // namespace lcomp
