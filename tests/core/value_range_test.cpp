#include "lcomp/core/value_range.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "lcomp/core/rng.h"

namespace lcomp {
namespace {

TEST(ValueRangeTest, ContainsZeroAndNothingElseForNoValues) {
  const ValueRange range = value_range({});
  EXPECT_EQ(range.low, 0);
  EXPECT_EQ(range.high, 0);
  EXPECT_TRUE(range.finite);
  const std::vector<float> positive = {2, 3};
  EXPECT_EQ(value_range(positive).low, 0);
  EXPECT_EQ(value_range(positive).high, 3);
}

TEST(ValueRangeTest, EqualsAPlainLoopAtEveryLength) {
  Rng rng(7);
  for (std::size_t size = 1; size < 100; ++size) {
    std::vector<float> values(size);
    float low = 0;
    float high = 0;
    for (float& v : values) {
      v = static_cast<float>(rng.normal());
      low = std::min(low, v);
      high = std::max(high, v);
    }
    const ValueRange range = value_range(values);
    EXPECT_EQ(range.low, low) << size;
    EXPECT_EQ(range.high, high) << size;
    EXPECT_TRUE(range.finite);
  }
}

TEST(ValueRangeTest, SeesOneBadValueAnywhere) {
  using Limits = std::numeric_limits<float>;
  for (float bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
    for (std::size_t place = 0; place < 37; ++place) {
      std::vector<float> values(37, 1.0F);
      values[place] = bad;
      EXPECT_FALSE(value_range(values).finite) << bad << " at " << place;
    }
  }
}

}  // namespace
}  // namespace lcomp
