#include "lcomp/formats/codebook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lcomp/formats/format.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;

TEST(CodebookTest, CountsAndDecodesByHand) {
  CodebookLayout layout{2, 5, 2, 3, std::nullopt, false};
  // 5 codes of 2 bits: 2 bytes a row; 2 codebooks a row of 4 levels of 2 bytes.
  EXPECT_EQ(payload_bytes(layout), 4u + 2u * 2u * 8u);
  CodebookWeight weight = make_codebook(layout, "w");
  set_levels(weight, 0, std::vector<float>{-1, 0, 0.5f, 3});
  set_levels(weight, 1, std::vector<float>{10, 20, 30, 40});
  set_levels(weight, 3, std::vector<float>{-10, -20, -30, -40});
  pack_row(weight, 0, std::vector<std::uint8_t>{3, 0, 2, 1, 3});
  pack_row(weight, 1, std::vector<std::uint8_t>{3, 0, 2, 0, 2});
  const Matrix decoded = decode(CompressedWeight(weight));
  EXPECT_THAT(decoded.row(0), ElementsAre(3, -1, 0.5f, 20, 40));
  EXPECT_THAT(decoded.row(1), ElementsAre(0, 0, 0, -10, -30));
  std::vector<float> levels(4);
  decode_levels(view(weight), 1, levels);
  EXPECT_THAT(levels, ElementsAre(10, 20, 30, 40));
}

TEST(CodebookTest, SharedWithScalesByHand) {
  CodebookLayout layout{2, 4, 1, 2, ScaleStorage::u8, true};
  // A byte of codes a row, 2 levels, 4 scales of a byte, 2 row scales, 4 columns of 2 bytes.
  EXPECT_EQ(payload_bytes(layout), 2u + 4u + 4u + 4u + 8u);
  CodebookWeight weight = make_codebook(layout, "w");
  set_levels(weight, 0, std::vector<float>{-0.5f, 1});
  set_scales(weight, 0, std::vector<float>{255, 51}, 255);
  set_scales(weight, 1, std::vector<float>{0, 2}, 2);
  pack_row(weight, 0, std::vector<std::uint8_t>{0, 1, 0, 1});
  pack_row(weight, 1, std::vector<std::uint8_t>{1, 1, 1, 0});
  set_permutation(weight, std::vector<std::uint32_t>{2, 0, 3, 1});
  const Matrix decoded = decode(CompressedWeight(weight));
  EXPECT_THAT(decoded.row(0), ElementsAre(255, 51, -127.5f, -25.5f));
  EXPECT_THAT(decoded.row(1), ElementsAre(0, -1, 0, 2));
  EXPECT_THAT(decode_scales(view(weight)), ElementsAre(255, 51, 0, 2));
}

}  // namespace
}  // namespace lcomp
