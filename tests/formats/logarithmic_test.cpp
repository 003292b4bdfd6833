#include "lcomp/formats/logarithmic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "lcomp/core/error.h"
#include "lcomp/formats/format.h"
#include "support/error_message.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LogarithmicTest, LevelsByHand) {
  EXPECT_THAT(logarithmic_levels(1, false, 2), ElementsAre(1, -1));
  EXPECT_THAT(logarithmic_levels(1, true, 2), ElementsAre(0, -1));
  EXPECT_THAT(logarithmic_levels(3, false, 2), ElementsAre(1, 0.5f, 0.25f, 0.125f, -1, -0.5f, -0.25f, -0.125f));
  EXPECT_THAT(logarithmic_levels(3, true, 4), ElementsAre(1, 0.25f, 0.0625f, 0, -1, -0.25f, -0.0625f, -0.015625f));
}

TEST(LogarithmicTest, LevelsOfEightBits) {
  const std::vector<float> steep = logarithmic_levels(8, false, 4);
  EXPECT_EQ(steep[63], std::exp2(-126.0f));
  EXPECT_EQ(steep[74], std::exp2(-148.0f));  // subnormal
  EXPECT_EQ(steep[75], 0);                   // 2^-150 rounds to even
  const std::vector<float> flat = logarithmic_levels(8, false, std::sqrt(2.0f));
  for (int k = 0; k < 128; ++k) {
    EXPECT_NEAR(flat[static_cast<std::size_t>(k)] / std::pow(std::sqrt(2.0), -k), 1, 1e-5) << k;
  }
}

TEST(LogarithmicTest, CountsAndDecodesByHand) {
  LogarithmicLayout layout{2, 5, 3, true, 3, ScaleStorage::f16, false};
  // 5 codes of 3 bits: 2 bytes a row; 2 groups a row: 4 scales of 2 bytes; the base.
  EXPECT_EQ(payload_bytes(layout), 4u + 8u + 4u);
  LogarithmicWeight weight = make_logarithmic(layout, "w");
  set_base(weight, 2);
  set_scales(weight, 0, std::vector<float>{8, 0.5f}, 0);
  set_scales(weight, 1, std::vector<float>{1, 0}, 0);
  pack_row(weight, 0, std::vector<std::uint8_t>{0, 7, 3, 1, 5});
  pack_row(weight, 1, std::vector<std::uint8_t>{4, 6, 2, 0, 4});
  const Matrix decoded = decode(CompressedWeight(weight));
  EXPECT_THAT(decoded.row(0), ElementsAre(8, -1, 0, 0.25f, -0.25f));
  EXPECT_THAT(decoded.row(1), ElementsAre(-1, -0.25f, 0.25f, 0, 0));
  std::vector<std::uint8_t> codes(5);
  unpack_row(view(weight), 1, codes);
  EXPECT_THAT(codes, ElementsAre(4, 6, 2, 0, 4));
  EXPECT_THAT(decode_scales(view(weight)), ElementsAre(8, 0.5f, 1, 0));
}

TEST(LogarithmicTest, RefusesBasesOutOfRange) {
  const WeightLayout layout = LogarithmicLayout{2, 5, 3, true, 3, ScaleStorage::f16, false};
  LogarithmicWeight weight = make_logarithmic(std::get<LogarithmicLayout>(layout), "w");
  for (const float base :
       {0.0f, 1.0f, -2.0f, 4.5f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::memcpy(weight.base.data(), &base, 4);
    EXPECT_THAT(testing::message([&] { from_parts(layout, to_parts(view(CompressedWeight(weight))), "layer.weight"); }),
                HasSubstr("layer.weight.base"))
        << base;
  }
  for (const float base : {2.0f, 4.0f, std::nextafter(1.0f, 2.0f)}) {
    set_base(weight, base);
    const CompressedWeight stored = weight;
    EXPECT_NO_THROW(from_parts(layout, to_parts(view(stored)), "layer.weight"));
  }
}

}  // namespace
}  // namespace lcomp
