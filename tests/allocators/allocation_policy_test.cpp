#include "lcomp/allocators/allocation_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "lcomp/allocators/bit_allocator.h"
#include "support/error_message.h"

namespace lcomp {
namespace {

using Across = AllocationPolicy::Across;
using Within = AllocationPolicy::Within;
using Choices = std::vector<std::size_t>;
using ::testing::HasSubstr;

TEST(AllocationPolicyTest, HasANameForEach) {
  std::set<std::string> names;
  for (const std::string& known : allocator_names()) {
    EXPECT_EQ(name(allocation_policy(known)), known);
    names.insert(known);
  }
  EXPECT_EQ(names.size(), 5U);
  EXPECT_EQ(allocation_policy("fixed"), AllocationPolicy{});
  EXPECT_EQ(allocation_policy("within"), (AllocationPolicy{Across::equal, Within::by_sensitivity, false}));
  EXPECT_EQ(allocation_policy("across"), (AllocationPolicy{Across::by_cost, Within::uniform, false}));
  AllocationPolicy learned = allocation_policy("learned");
  EXPECT_TRUE(learned.learned);
  learned.learned = false;
  EXPECT_EQ(name(learned), "second_order") << "where it starts";
  EXPECT_THAT(testing::message([] { allocation_policy("best"); }), HasSubstr("fixed"));
}

// Two components of 100 weights. One gains much from a second half bit, the other hardly anything from any.
struct TwoComponents {
  AllocationProblem problem;
  std::vector<std::vector<double>> errors = {{100, 90, 20, 10}, {4, 3, 2, 1}};

  explicit TwoComponents(std::uint64_t budget) {
    for (const char* component : {"steep", "flat"}) {
      problem.components.push_back({component, {{1, 10}, {1, 16}, {2, 22}, {2, 28}}, 100});
    }
    problem.budget = budget;
    problem.other_bytes = 5;
  }
  Choices by(const char* allocator) const {
    return make_allocator(allocation_policy(allocator))->allocate(problem, [&](std::size_t i, std::size_t choice) {
      return errors[i][choice];
    });
  }
};

TEST(AllocatorTableTest, EachSharesOutItsWay) {
  // 43 bytes for both: with 2-bit codes they take 56, with 1-bit codes 32; 6 more go to the one that gains by them.
  EXPECT_EQ(TwoComponents(48).by("fixed"), (Choices{2, 1}));
  // 1.6 bits per weight are 21.5 bytes each: 16, and the next choice for the steep one.
  EXPECT_EQ(TwoComponents(48).by("within"), (Choices{2, 1}));
  // 28 + 10 bytes cost 14, 22 + 16 cost 23.
  EXPECT_EQ(TwoComponents(48).by("across"), (Choices{3, 0}));
  EXPECT_EQ(TwoComponents(48).by("second_order"), (Choices{3, 0}));
}

TEST(EqualBitsAllocatorTest, MeetsBudgetsAndRefusesWhatIsTooSmall) {
  for (const std::uint64_t budget : {25U, 30U, 31U, 37U, 43U, 49U, 61U, 1000U}) {
    const TwoComponents example(budget);
    const Choices chosen = example.by("within");
    std::uint64_t bytes = example.problem.other_bytes;
    for (std::size_t i = 0; i < 2; ++i) bytes += example.problem.components[i].choices[chosen[i]].bytes;
    EXPECT_LE(bytes, budget);
    EXPECT_LE(chosen[0] > chosen[1] ? chosen[0] - chosen[1] : chosen[1] - chosen[0], 1U);
    EXPECT_GT(bytes + 6, std::min<std::uint64_t>(budget, 61)) << "another step would fit";
  }
  EXPECT_THAT(testing::message([] { TwoComponents(24).by("within"); }), HasSubstr("at least 25 bytes"));
}

}  // namespace
}  // namespace lcomp
