#include "lcomp/core/float16.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "instruction_sets.h"
#include "lcomp/core/rng.h"

namespace lcomp {
namespace {

using testing::for_each_instruction_set;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A 16-bit float's value from the definition: (-1)^sign 2^(exponent - bias) (1 + mantissa / 2^bits), without the 1 and
// with 2^(1 - bias) when the exponent's bits are 0; infinity or NaN when they are all 1.
float value_of(std::uint16_t code, int mantissa_bits) {
  const int exponent_bits = 15 - mantissa_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (code & 0x7fff) >> mantissa_bits;
  const int mantissa = code & ((1 << mantissa_bits) - 1);
  float magnitude = 0;
  if (exponent == (1 << exponent_bits) - 1) {
    magnitude = mantissa == 0 ? kInfinity : std::numeric_limits<float>::quiet_NaN();
  } else {
    const int whole = exponent == 0 ? mantissa : mantissa + (1 << mantissa_bits);
    magnitude = std::ldexp(static_cast<float>(whole), std::max(exponent, 1) - bias - mantissa_bits);
  }
  return (code & 0x8000) != 0 ? -magnitude : magnitude;
}

std::vector<std::uint16_t> all_codes() {
  std::vector<std::uint16_t> codes(65536);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint16_t>(i);
  return codes;
}

// Every float at which the conversion could turn the wrong way: all values of the 16-bit type, the midpoints between
// neighbours and what lies next to both; special values; random bit patterns.
std::vector<float> hard_floats(int mantissa_bits) {
  std::vector<float> values;
  const auto add_around = [&values](float x) {
    for (const float y : {std::nextafter(x, -kInfinity), x, std::nextafter(x, kInfinity)}) {
      values.push_back(y);
      values.push_back(-y);
    }
  };
  for (std::uint32_t code = 0; code < 0x8000; ++code) {
    const float here = value_of(static_cast<std::uint16_t>(code), mantissa_bits);
    const float next = value_of(static_cast<std::uint16_t>(code + 1), mantissa_bits);
    if (std::isnan(here)) break;
    add_around(here);
    if (std::isfinite(here) && std::isfinite(next)) add_around(here + (next - here) / 2);
  }
  for (const std::uint32_t bits :
       {0x7f800000u, 0x7f800001u, 0x7fbfffffu, 0x7fc00000u, 0x7fffffffu, 0x7f7fffffu, 0x00000001u, 0x007fffffu,
        0x00800000u, 0x477fefffu, 0x477ff000u, 0x477ff001u, 0x7f7f7fffu, 0x7f7f8000u}) {
    values.push_back(std::bit_cast<float>(bits));
    values.push_back(std::bit_cast<float>(bits | 0x80000000u));
  }
  Rng rng(1);
  for (int i = 0; i < 1'000'000; ++i) values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(rng.next())));
  for (int i = 0; i < 100'000; ++i) values.push_back(static_cast<float>(rng.normal()));
  return values;
}

// The 16-bit code nearest to value, found by searching the non-negative codes; the even one of two equally near;
// infinity from half a step beyond the largest.
std::uint16_t nearest_code(float value, int mantissa_bits, const std::vector<float>& values_of_codes) {
  const double magnitude = std::fabs(static_cast<double>(value));
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const auto infinity = static_cast<std::uint32_t>(((1 << (15 - mantissa_bits)) - 1) << mantissa_bits);
  const auto first = values_of_codes.begin();
  const auto above = std::lower_bound(first, first + infinity, magnitude);  // first code whose value is >= magnitude
  auto code = static_cast<std::uint32_t>(above - first);
  if (code > 0) {
    const double below_value = values_of_codes[code - 1];
    // Beyond the largest finite value the grid goes on with the same step, and the next point stands for infinity.
    const double above_value = code < infinity ? static_cast<double>(values_of_codes[code])
                                               : 2 * below_value - static_cast<double>(values_of_codes[code - 2]);
    const double middle = (below_value + above_value) / 2;
    if (magnitude < middle || (magnitude == middle && (code - 1) % 2 == 0)) --code;
  }
  return static_cast<std::uint16_t>(sign | code);
}

std::vector<float> values_of_codes(int mantissa_bits) {
  std::vector<float> values(0x8000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = value_of(static_cast<std::uint16_t>(i), mantissa_bits);
  return values;
}

bool same(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

TEST(Half, EveryCodeHasItsValue) {
  for (const std::uint16_t code : all_codes()) {
    const float value = half_to_float(code);
    const float expected = value_of(code, 10);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << code;
      ASSERT_EQ(std::signbit(value), (code & 0x8000) != 0) << code;
    } else {
      ASSERT_TRUE(same(value, expected)) << code;
    }
  }
}

TEST(Half, RoundTripsAndRoundsToNearestEven) {
  for (const std::uint16_t code : all_codes()) {
    if (std::isnan(half_to_float(code))) continue;
    ASSERT_EQ(float_to_half(half_to_float(code)), code);
  }
  const std::vector<float> codes = values_of_codes(10);
  for (const float value : hard_floats(10)) {
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(half_to_float(float_to_half(value))));
    } else {
      ASSERT_EQ(float_to_half(value), nearest_code(value, 10, codes)) << value;
    }
  }
}

TEST(Half, KnownValues) {
  EXPECT_EQ(float_to_half(1.0f), 0x3c00);
  EXPECT_EQ(float_to_half(-2.0f), 0xc000);
  EXPECT_EQ(float_to_half(65504.0f), 0x7bff);  // the largest
  EXPECT_EQ(float_to_half(65519.99f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_half(0x1p-24f), 0x0001);  // the least
  EXPECT_EQ(float_to_half(0x1p-25f), 0x0000);  // a tie
  EXPECT_EQ(float_to_half(0x1.8p-25f), 0x0001);
  EXPECT_EQ(float_to_half(-0.0f), 0x8000);
  EXPECT_EQ(half_to_float(0x3555), 0x1.554p-2f);  // about 1/3
}

TEST(Bfloat16, RoundTripsAndRoundsToNearestEven) {
  for (const std::uint16_t code : all_codes()) {
    const float value = bfloat16_to_float(code);
    if (std::isnan(value)) continue;
    ASSERT_TRUE(same(value, value_of(code, 7)));
    ASSERT_EQ(float_to_bfloat16(value), code);
  }
  const std::vector<float> codes = values_of_codes(7);
  for (const float value : hard_floats(7)) {
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(bfloat16_to_float(float_to_bfloat16(value))));
    } else {
      ASSERT_EQ(float_to_bfloat16(value), nearest_code(value, 7, codes)) << value;
    }
  }
}

// The span forms give the bits of the scalar ones, NaN included, on every instruction set, at any alignment and length.
TEST(SpanConversions, EqualTheScalarOnes) {
  const std::vector<std::uint16_t> codes = all_codes();
  std::vector<float> floats = hard_floats(10);
  const std::vector<float> more = hard_floats(7);
  floats.insert(floats.end(), more.begin(), more.end());
  std::size_t sets = 0;
  for_each_instruction_set([&](const std::string& name) {
    SCOPED_TRACE(name);
    ++sets;
    std::vector<float> widened(codes.size());
    half_to_float(codes, widened);
    for (std::size_t i = 0; i < codes.size(); ++i) ASSERT_TRUE(same(widened[i], half_to_float(codes[i]))) << codes[i];
    bfloat16_to_float(codes, widened);
    for (std::size_t i = 0; i < codes.size(); ++i)
      ASSERT_TRUE(same(widened[i], bfloat16_to_float(codes[i]))) << codes[i];
    std::vector<std::uint16_t> narrowed(floats.size());
    float_to_half(floats, narrowed);
    for (std::size_t i = 0; i < floats.size(); ++i) ASSERT_EQ(narrowed[i], float_to_half(floats[i])) << floats[i];
    float_to_bfloat16(floats, narrowed);
    for (std::size_t i = 0; i < floats.size(); ++i) ASSERT_EQ(narrowed[i], float_to_bfloat16(floats[i])) << floats[i];
  });
  EXPECT_GE(sets, 1u);
}

TEST(SpanConversions, TakeAnyLengthAndOffset) {
  for_each_instruction_set([](const std::string& name) {
    SCOPED_TRACE(name);
    std::vector<float> floats(100);
    for (std::size_t i = 0; i < floats.size(); ++i) floats[i] = static_cast<float>(i) + 0.5f;
    for (std::size_t offset = 0; offset < 5; ++offset) {
      for (std::size_t size = 0; size < 70; ++size) {
        std::vector<std::uint16_t> halves(size + 1, 0xabcd);
        float_to_half(std::span(floats).subspan(offset, size), std::span(halves).first(size));
        ASSERT_EQ(halves[size], 0xabcd);
        std::vector<float> back(size + 1, -1);
        half_to_float(std::span(halves).first(size), std::span(back).first(size));
        ASSERT_EQ(back[size], -1);
        for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(back[i], floats[offset + i]);
      }
    }
  });
}

TEST(FindOverflow, FindsTheFirstFiniteValueThatBecomesInfinite) {
  for_each_instruction_set([](const std::string& name) {
    SCOPED_TRACE(name);
    const float half_limit = 65520;
    const float bfloat16_limit = 0x1.ffp127f;
    for (std::size_t size : {0, 1, 7, 64, 101}) {
      std::vector<float> values(size, std::nextafter(half_limit, 0.0f));
      if (size > 5) {
        values[2] = kInfinity;
        values[3] = -kInfinity;
        values[4] = std::numeric_limits<float>::quiet_NaN();
      }
      EXPECT_EQ(find_half_overflow(values), size);
      EXPECT_EQ(find_bfloat16_overflow(values), size);
      for (std::size_t i = 0; i < size; ++i) {
        std::vector<float> changed = values;
        changed[i] = -half_limit;
        changed.back() = half_limit;
        EXPECT_EQ(find_half_overflow(changed), i);
        EXPECT_EQ(find_bfloat16_overflow(changed), size);
        changed[i] = -bfloat16_limit;
        EXPECT_EQ(find_bfloat16_overflow(changed), i);
        changed[i] = std::nextafter(bfloat16_limit, 0.0f);
        EXPECT_EQ(find_bfloat16_overflow(changed), size);
      }
    }
  });
  // The limits are those of the conversions.
  EXPECT_EQ(half_to_float(float_to_half(65520)), kInfinity);
  EXPECT_EQ(half_to_float(float_to_half(std::nextafter(65520.0f, 0.0f))), 65504);
  EXPECT_EQ(bfloat16_to_float(float_to_bfloat16(0x1.ffp127f)), kInfinity);
  EXPECT_EQ(bfloat16_to_float(float_to_bfloat16(std::nextafter(0x1.ffp127f, 0.0f))), 0x1.fep127f);
}

}  // namespace
}  // namespace lcomp
