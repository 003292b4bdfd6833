#include "lcomp/formats/trellis.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace lcomp {
namespace {

class TrellisTest : public ::testing::TestWithParam<int> {};

TEST_P(TrellisTest, EveryStateLeadsToTwoAndIsReachedFromTwo) {
  const Trellis trellis(GetParam());
  std::vector<int> reached(trellis.states(), 0);
  for (std::uint32_t state = 0; state < trellis.states(); ++state) {
    const std::uint32_t even = trellis.next(state, 0);
    const std::uint32_t odd = trellis.next(state, 1);
    EXPECT_NE(even, odd);
    EXPECT_EQ(trellis.next(state, -2), even);
    EXPECT_EQ(trellis.next(state, -1), odd);
    ASSERT_LT(std::max(even, odd), trellis.states());
    ++reached[even];
    ++reached[odd];
  }
  for (const int ways : reached) EXPECT_EQ(ways, 2);
}

TEST_P(TrellisTest, StatesOfferEvenOrOddLevels) {
  const Trellis trellis(GetParam());
  for (std::uint32_t state = 0; state < trellis.states(); ++state) {
    for (const int code : {-3, -1, 0, 2}) {
      EXPECT_EQ(trellis.level(state, code), 2 * code + static_cast<int>(state % 2));
    }
  }
  EXPECT_EQ(trellis.spacing(), 2);
}

TEST_P(TrellisTest, ZerosFromTheBeginOnStayInTheFirstState) {
  const Trellis trellis(GetParam());
  EXPECT_EQ(trellis.next(0, 0), 0u);
  EXPECT_EQ(trellis.level(0, 0), 0);
}

TEST_P(TrellisTest, TwoPathsThatPartAreApartByMoreThanOneStep) {
  // The free distance of the code: paths that begin and end in the same state differ, in squared levels, by at least 9
  // for 4 states and 10 for 8 or more, where levels of plain rounding to every integer differ by 1, and to every second
  // by 4 (Ungerboeck 1982, table I: d^2 = 9, 10, 11, 13, 14).
  const int expected[] = {0, 0, 9, 10, 11, 13, 14};
  const Trellis trellis(GetParam());
  // Least squared distance of a pair of states, from pairs that parted; levels modulo 4 tell subsets apart.
  const auto n = trellis.states();
  constexpr int far = 1 << 20;
  const auto distance = [](int a, int b) {  // of two subsets of levels, remainders modulo 4
    const int d = ((a - b) % 4 + 4) % 4;
    return d == 0 ? 0 : d == 2 ? 4 : 1;
  };
  int least = far;
  for (std::uint32_t start = 0; start < n; ++start) {
    std::vector<int> pairs(n * n, far);
    // The two ways out of a state differ by two levels.
    pairs[trellis.next(start, 0) * n + trellis.next(start, 1)] = 4;
    for (int step = 0; step < 40; ++step) {
      std::vector<int> after(n * n, far);
      for (std::uint32_t a = 0; a < n; ++a) {
        for (std::uint32_t b = 0; b < n; ++b) {
          const int so_far = pairs[a * n + b];
          if (so_far >= far) continue;
          for (const int p : {0, 1}) {
            for (const int q : {0, 1}) {
              const int d = so_far + distance(trellis.level(a, p), trellis.level(b, q));
              const std::uint32_t x = trellis.next(a, p);
              const std::uint32_t y = trellis.next(b, q);
              if (x == y) {
                least = std::min(least, d);
              } else {
                after[x * n + y] = std::min(after[x * n + y], d);
              }
            }
          }
        }
      }
      pairs = after;
    }
  }
  EXPECT_EQ(least, expected[GetParam()]);
}

INSTANTIATE_TEST_SUITE_P(Memories, TrellisTest, ::testing::Values(2, 3, 4, 5, 6));

TEST(TrellisTest, WithoutMemoryLevelsAreCodes) {
  const Trellis trellis(0);
  EXPECT_EQ(trellis.states(), 1u);
  EXPECT_EQ(trellis.level(0, -7), -7);
  EXPECT_EQ(trellis.next(0, 5), 0u);
  EXPECT_EQ(trellis.spacing(), 1);
  EXPECT_FALSE(Trellis::has_memory(1));
}

}  // namespace
}  // namespace lcomp
