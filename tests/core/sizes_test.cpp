#include "lcomp/core/sizes.h"
#include "support/error_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace lcomp {
namespace {

using ::testing::HasSubstr;

constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();

TEST(Sizes, MultiplyUpToTheLimit) {
  EXPECT_EQ(try_multiply<std::uint64_t>(kMost, 1), kMost);
  EXPECT_EQ(try_multiply<std::uint64_t>(1, kMost), kMost);
  EXPECT_EQ(try_multiply<std::uint64_t>(kMost, 0), 0u);
  EXPECT_EQ(try_multiply<std::uint64_t>(0, kMost), 0u);
  EXPECT_EQ(try_multiply<std::uint64_t>(kMost / 3, 3), kMost);  // 3 divides 2^64 - 1
  EXPECT_EQ(try_multiply<std::uint64_t>(kMost / 3 + 1, 3), std::nullopt);
  EXPECT_EQ(try_multiply<std::uint64_t>(std::uint64_t{1} << 32, std::uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ((try_multiply<std::uint8_t>(16, 16)), std::nullopt);
  EXPECT_EQ((try_multiply<std::uint8_t>(15, 17)), 255);
}

TEST(Sizes, EveryProductAndSumOfBytes) {
  for (unsigned a = 0; a < 256; ++a) {
    for (unsigned b = 0; b < 256; ++b) {
      const auto product = try_multiply(static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b));
      ASSERT_EQ(product.has_value(), a * b < 256);
      ASSERT_EQ(product.value_or(0), a * b < 256 ? a * b : 0);
      const auto sum = try_add(static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b));
      ASSERT_EQ(sum.has_value(), a + b < 256);
      ASSERT_EQ(sum.value_or(0), a + b < 256 ? a + b : 0);
    }
  }
}

TEST(Sizes, CheckedFormsThrow) {
  EXPECT_EQ(checked_multiply<std::uint64_t>(6, 7, "x"), 42u);
  EXPECT_EQ(checked_add<std::uint64_t>(kMost - 1, 1, "x"), kMost);
  EXPECT_EQ((checked_cast<std::int8_t>(127, "x")), 127);
  EXPECT_EQ(testing::message([] { checked_multiply<std::uint64_t>(kMost, 2, "tensor"); }),
            "tensor: a size of 18446744073709551615 x 2, which overflows");
  EXPECT_THAT(testing::message([] { checked_add<std::uint64_t>(kMost, 1, "tensor"); }), HasSubstr("tensor: "));
  EXPECT_THAT(testing::message([] { checked_cast<std::uint32_t>(-1, "tensor"); }),
              HasSubstr("the value -1; expected a value that fits 32 bits"));
  EXPECT_THAT(testing::message([] { checked_cast<std::int8_t>(128, "tensor"); }), HasSubstr("128"));
}

TEST(Sizes, DivideUp) {
  EXPECT_EQ(divide_up(0u, 4u), 0u);
  EXPECT_EQ(divide_up(1u, 4u), 1u);
  EXPECT_EQ(divide_up(4u, 4u), 1u);
  EXPECT_EQ(divide_up(5u, 4u), 2u);
  EXPECT_EQ(divide_up(kMost, std::uint64_t{2}), kMost / 2 + 1);
}

}  // namespace
}  // namespace lcomp
