#include "lcomp/core/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <set>
#include <span>
#include <vector>

namespace lcomp {
namespace {

std::array<std::uint64_t, 6> first_six(Rng rng) {
  std::array<std::uint64_t, 6> values{};
  for (auto& value : values) value = rng.next();
  return values;
}

// xoshiro256** seeded by splitmix64, from a second implementation (in Python) that gives the published first values of
// both generators: 11520, 0, 1509978240, 1215971899390074240 from state 1, 2, 3, 4 and 6457827717110365317 from seed
// 1234567.
TEST(Rng, GivesTheValuesOfTheGenerator) {
  using Six = std::array<std::uint64_t, 6>;
  EXPECT_EQ(first_six(Rng(0)), (Six{11091344671253066420u, 13793997310169335082u, 1900383378846508768u,
                                    7684712102626143532u, 13521403990117723737u, 18442103541295991498u}));
  EXPECT_EQ(first_six(Rng(42)), (Six{1546998764402558742u, 6990951692964543102u, 12544586762248559009u,
                                     17057574109182124193u, 18295552978065317476u, 14199186830065750584u}));
  EXPECT_EQ(first_six(Rng(18446744073709551615u)),
            (Six{10328197420357168392u, 14156678507024973869u, 9357971779955476126u, 13791585006304312367u,
                 10463432026814718762u, 13498236496097551653u}));
}

TEST(Rng, SplitDependsOnSeedAndKeyAlone) {
  Rng used(7);
  for (int i = 0; i < 100; ++i) used.next();
  EXPECT_EQ(first_six(used.split(3)), first_six(Rng(7).split(3)));
  EXPECT_EQ(first_six(used.split("layer 3")), first_six(Rng(7).split("layer 3")));
  EXPECT_NE(first_six(Rng(7).split(3)), first_six(Rng(8).split(3)));
  EXPECT_NE(first_six(Rng(7).split("a")), first_six(Rng(7).split("b")));
}

TEST(Rng, SplitStreamsAreDistinct) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    EXPECT_TRUE(seen.insert(Rng(seed).next()).second);
    for (std::uint64_t key = 0; key < 50; ++key) {
      EXPECT_TRUE(seen.insert(Rng(seed).split(key).next()).second);
      EXPECT_TRUE(seen.insert(Rng(seed).split(key).split(key).next()).second);
    }
  }
}

// Streams with neighbouring keys are uncorrelated: the mean of n products of independent uniforms on (-1, 1), each of
// variance 1/9, lies within 5 standard deviations, 5 / (3 sqrt n), of 0.
TEST(Rng, SplitStreamsAreUncorrelated) {
  constexpr int kCount = 100'000;
  for (std::uint64_t key = 0; key < 10; ++key) {
    Rng a = Rng(11).split(key);
    Rng b = Rng(11).split(key + 1);
    double sum = 0;
    for (int i = 0; i < kCount; ++i) sum += a.uniform(-1, 1) * b.uniform(-1, 1);
    EXPECT_LT(std::fabs(sum / kCount), 5 / (3 * std::sqrt(kCount)));
  }
}

TEST(Rng, UniformStaysInRange) {
  Rng rng(1);
  double sum = 0;
  constexpr int kCount = 100'000;
  for (int i = 0; i < kCount; ++i) {
    const double x = rng.uniform();
    ASSERT_GE(x, 0);
    ASSERT_LT(x, 1);
    ASSERT_EQ(std::ldexp(x, 53), std::floor(std::ldexp(x, 53)));
    sum += x;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 5 * std::sqrt(1.0 / 12 / kCount));
  const double y = rng.uniform(-3, -2);
  EXPECT_TRUE(y >= -3 && y < -2);
}

// Moments of the normal distribution within 5 standard errors: those of the mean, variance and fourth moment of n
// values are sqrt(1/n), sqrt(2/n) and sqrt(96/n). P(|x| > 2) = 0.0455.
TEST(Rng, NormalHasTheMomentsOfTheNormalDistribution) {
  Rng rng(2);
  constexpr double kCount = 400'000;
  double sum = 0, squares = 0, fourth = 0, beyond_two = 0;
  for (int i = 0; i < kCount; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
    beyond_two += std::fabs(x) > 2 ? 1 : 0;
  }
  EXPECT_NEAR(sum / kCount, 0, 5 * std::sqrt(1 / kCount));
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2 / kCount));
  EXPECT_NEAR(fourth / kCount, 3, 5 * std::sqrt(96 / kCount));
  EXPECT_NEAR(beyond_two / kCount, 0.0455003, 5 * std::sqrt(0.0455 * 0.9545 / kCount));
}

// Chi-square with bound - 1 degrees of freedom: mean bound - 1, standard deviation sqrt(2 (bound - 1)).
TEST(Rng, BelowIsUniform) {
  Rng rng(3);
  for (const std::uint64_t bound : {1u, 2u, 3u, 7u, 10u, 64u, 100u}) {
    constexpr int kPerValue = 2000;
    std::vector<double> counts(bound);
    for (std::uint64_t i = 0; i < bound * kPerValue; ++i) {
      const std::uint64_t value = rng.below(bound);
      ASSERT_LT(value, bound);
      ++counts[value];
    }
    double chi_square = 0;
    for (const double count : counts) chi_square += (count - kPerValue) * (count - kPerValue) / kPerValue;
    const double freedom = static_cast<double>(bound - 1);
    EXPECT_LE(chi_square, freedom + 6 * std::sqrt(2 * freedom)) << bound;
  }
}

// With bound 3 * 2^62, next() % bound would give the lower third twice as often as each of the others: half of all
// values, not a third.
TEST(Rng, BelowHasNoBiasForLargeBounds) {
  Rng rng(4);
  const std::uint64_t third = std::uint64_t{1} << 62;
  constexpr double kCount = 30'000;
  double low = 0;
  for (int i = 0; i < kCount; ++i) low += rng.below(3 * third) < third ? 1 : 0;
  EXPECT_NEAR(low / kCount, 1.0 / 3, 5 * std::sqrt(2.0 / 9 / kCount));
}

TEST(Rng, ShuffleGivesEveryPermutationEquallyOften) {
  Rng rng(5);
  std::array<double, 6> counts{};  // by first element and whether the rest is in order
  constexpr double kCount = 60'000;
  for (int i = 0; i < kCount; ++i) {
    std::array<std::size_t, 3> values = {0, 1, 2};
    rng.shuffle(std::span<std::size_t>(values));
    ++counts[values[0] * 2 + (values[1] < values[2] ? 1 : 0)];
  }
  for (const double count : counts) EXPECT_NEAR(count / kCount, 1.0 / 6, 5 * std::sqrt(5.0 / 36 / kCount));
  std::vector<int> none;
  rng.shuffle(std::span<int>(none));
}

}  // namespace
}  // namespace lcomp
