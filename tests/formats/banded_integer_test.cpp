#include "lcomp/formats/banded_integer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/formats/format.h"

namespace lcomp {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using Bits = std::vector<std::uint8_t>;

// The message of the Error that `action` throws.
template <typename Action>
std::string refusal(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(BandedIntegerTest, CountsByHand) {
  // 2 x 70: bands of 32, 32 and 6 columns of 5, 3 and 3 bits: 20 + 12 + 3 = 35 bytes of codes a row. 3 scales and 2
  // bytes of row scale a row; zero points 11 bits, 2 bytes a row; 3 widths; 140 bytes of permutation.
  const BandedIntegerLayout layout = banded_layout(2, 70, false, Bits{5, 3, 3}, "w");
  EXPECT_EQ(payload_bytes(layout), 70u + 6u + 4u + 4u + 3u + 140u);
  // Without the third band: 32 bytes, 2 scales, one byte of zero points.
  EXPECT_EQ(payload_bytes(banded_layout(2, 70, false, Bits{5, 3, 0}, "w")), 64u + 4u + 4u + 2u + 3u + 140u);
  EXPECT_EQ(payload_bytes(banded_layout(2, 70, true, Bits{5, 3, 0}, "w")), 64u + 4u + 4u + 3u + 140u);
}

TEST(BandedIntegerTest, DecodesByHand) {
  // 34 columns, bands of 2 bits and 1 bit; stored column j is column 33 - j.
  BandedIntegerWeight weight = make_banded_integer(1, 34, false, Bits{2, 1}, "w");
  std::vector<std::uint8_t> codes(34, 0);
  codes[0] = 3;
  codes[31] = 1;
  codes[33] = 1;
  pack_row(weight, 0, codes);
  set_scales(weight, 0, std::vector<float>{2, 0}, 6);  // codes 255 and 0; two bits have 3 steps in the range
  set_zero_points(weight, 0, std::vector<float>{1, 0});
  std::vector<std::uint32_t> reversed(34);
  std::iota(reversed.rbegin(), reversed.rend(), 0u);
  set_permutation(weight, reversed);
  const Matrix decoded = decode(CompressedWeight(weight));
  EXPECT_EQ(decoded(0, 33), 4);   // 2 * (3 - 1)
  EXPECT_EQ(decoded(0, 2), 0);    // 2 * (1 - 1)
  EXPECT_EQ(decoded(0, 10), -2);  // 2 * (0 - 1)
  EXPECT_EQ(decoded(0, 0), 0);    // a scale of 0
  std::vector<std::uint8_t> unpacked(34, 9);
  unpack_row(view(weight), 0, unpacked);
  EXPECT_EQ(unpacked, codes);
  EXPECT_THAT(decode_scales(view(weight)), ::testing::ElementsAre(2, 0));
  EXPECT_THAT(decode_zero_points(view(weight)), ::testing::ElementsAre(1, 0));
}

TEST(BandedIntegerTest, NoBitsDecodeToZeros) {
  for (const bool symmetric : {false, true}) {
    BandedIntegerWeight weight = make_banded_integer(3, 40, symmetric, Bits{0, 0}, "w");
    EXPECT_TRUE(weight.codes.empty());
    set_scales(weight, 1, {}, 1);
    EXPECT_THAT(decode(CompressedWeight(weight)).span(), Each(0.0f));
    const BandedIntegerLayout layout = weight;
    EXPECT_NO_THROW(from_parts(layout, to_parts(view(CompressedWeight(weight))), "w"));
    EXPECT_EQ(payload_bytes(layout), 6u + 2u + 80u);
  }
}

TEST(BandedIntegerTest, RefusesImpossibleWidths) {
  const auto with = [](const Bits& bits) {
    return refusal([&bits] { banded_layout(4, 70, false, bits, "layer.weight"); });
  };
  EXPECT_EQ(with({8, 8, 0}), "accepted");
  EXPECT_EQ(with({0, 0, 0}), "accepted");
  EXPECT_THAT(with({9, 1, 0}), HasSubstr("layer.weight, band 0: 9 bits"));
  EXPECT_THAT(with({3, 4, 0}), HasSubstr("layer.weight, band 1: 4 bits"));
  EXPECT_THAT(with({3, 2}), HasSubstr("widths of 2 bands; expected 3"));
  EXPECT_THAT(refusal([] { banded_layout(0, 70, false, Bits{1, 1, 1}, "w"); }), HasSubstr("0 x 70"));
  EXPECT_THAT(refusal([] { banded_layout(4, 0, false, Bits{}, "w"); }), HasSubstr("4 x 0"));
  EXPECT_THROW(payload_bytes(banded_layout(std::numeric_limits<std::size_t>::max() / 8, 70, false, Bits{3, 2, 1}, "w")),
               Error);
}

TEST(BandedIntegerTest, RefusesWidthsOfOtherSumsAndWhatIsNoPermutation) {
  const BandedIntegerWeight good = make_banded_integer(4, 100, true, Bits{4, 3, 2, 1}, "w");
  const auto result = [](const BandedIntegerWeight& weight) {
    const BandedIntegerLayout layout = weight;
    return refusal([&] { from_parts(layout, to_parts(view(CompressedWeight(weight))), "layer.weight"); });
  };
  EXPECT_EQ(result(good), "accepted");
  for (const Bits& bits :
       {Bits{4, 3, 2, 2}, Bits{4, 4, 1, 1}, Bits{4, 2, 3, 1}, Bits{200, 3, 2, 1}, Bits{5, 3, 2, 0}}) {
    BandedIntegerWeight weight = good;
    weight.band_bits = bits;
    if (bits == Bits{4, 4, 1, 1}) {
      EXPECT_EQ(result(weight), "accepted");  // the same sums: another weight
    } else {
      EXPECT_THAT(result(weight), HasSubstr("layer.weight.band_bits"));
    }
  }
  BandedIntegerWeight weight = good;
  weight.permutation[0] = 1;  // twice
  EXPECT_THAT(result(weight), HasSubstr("layer.weight.permutation"));
}

}  // namespace
}  // namespace lcomp
