#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <ctime>
#include <limits>

#include "lcomp/core/error.h"
#include "lcomp/interchange/gguf.h"
#include "lcomp/io/safetensors.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::golden;

struct TypeCase {
  GgmlType type;
  std::string reference;  // name in dequantized.safetensors
};

std::string file_of(GgmlType type) { return "formats/tensor-" + std::string(name(type)) + ".gguf"; }

class GgmlTypeTest : public ::testing::TestWithParam<GgmlType> {};

// The reference decodes with the same float32 operations; 1e-6 of the block's largest value leaves room for a fused
// multiply-add.
TEST_P(GgmlTypeTest, DequantizesLikeTheReference) {
  LCOMP_REQUIRE(golden(file_of(GetParam())));
  const GgufFile file(golden(file_of(GetParam())));
  const SafetensorsFile reference(golden("formats/dequantized.safetensors"));
  const std::string key = GetParam() == GgmlType::f32 ? "f32" : std::string(name(GetParam()));
  const SafetensorsEntry& entry = reference.entry(key);
  const Matrix decoded = file.read("blk.0.weight");
  ASSERT_EQ(decoded.rows(), 64u);
  ASSERT_EQ(decoded.cols(), 512u);
  std::vector<float> wanted(decoded.size());
  to_float(entry, 0, wanted);
  const std::size_t block = std::max<std::size_t>(32, block_of(GetParam()).values);
  for (std::size_t begin = 0; begin < wanted.size(); begin += block) {
    float largest = 0;
    for (std::size_t i = begin; i < begin + block; ++i) largest = std::max(largest, std::fabs(wanted[i]));
    for (std::size_t i = begin; i < begin + block; ++i) {
      ASSERT_NEAR(decoded.data()[i], wanted[i], 1e-6 * static_cast<double>(largest)) << "value " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgmlTypeTest,
                         ::testing::Values(GgmlType::f32, GgmlType::f16, GgmlType::bf16, GgmlType::q8_0, GgmlType::q4_0,
                                           GgmlType::q4_1, GgmlType::q5_0, GgmlType::q5_1, GgmlType::q2_k,
                                           GgmlType::q3_k, GgmlType::q4_k, GgmlType::q5_k, GgmlType::q6_k,
                                           GgmlType::iq4_nl, GgmlType::iq4_xs),
                         [](const auto& test) { return std::string(name(test.param)); });

class GgmlQuantizeTest : public ::testing::TestWithParam<GgmlType> {};

TEST_P(GgmlQuantizeTest, GivesTheReferencesBytes) {
  LCOMP_REQUIRE(golden(file_of(GetParam())));
  const GgufFile file(golden(file_of(GetParam())));
  const SafetensorsFile reference(golden("formats/dequantized.safetensors"));
  std::vector<float> values(64 * 512);
  to_float(reference.entry("f32"), 0, values);
  const std::vector<std::byte> bytes = quantize(GetParam(), values);
  const std::span<const std::byte> wanted = file.gguf_tensors().front().bytes;
  ASSERT_EQ(bytes.size(), wanted.size());
  const auto difference = std::mismatch(bytes.begin(), bytes.end(), wanted.begin());
  EXPECT_EQ(difference.first, bytes.end()) << "byte " << difference.first - bytes.begin();
}

TEST_P(GgmlQuantizeTest, RefusesWhatItCannotHold) {
  std::vector<float> values(64, 1.0f);
  values[40] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(quantize(GetParam(), values), Error);
  values[40] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(quantize(GetParam(), values), Error);
  if (block_of(GetParam()).values > 1) {
    values[40] = 3e38f;  // no float16 scale
    EXPECT_THROW(quantize(GetParam(), values), Error);
    values.resize(33);
    EXPECT_THROW(quantize(GetParam(), values), Error);
  }
}

// Scales below float16's range are stored as 0: everything decodes to 0 (or to the minimum), and nothing is undefined
// on the way.
TEST_P(GgmlQuantizeTest, TinyValuesAreFinite) {
  std::vector<float> values(32);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 1e-44f;
  std::vector<float> decoded(32);
  dequantize(GetParam(), quantize(GetParam(), values), decoded);
  for (const float value : decoded) EXPECT_NEAR(value, 0, 1e-40);
}

INSTANTIATE_TEST_SUITE_P(Simple, GgmlQuantizeTest,
                         ::testing::Values(GgmlType::f32, GgmlType::f16, GgmlType::bf16, GgmlType::q8_0, GgmlType::q4_0,
                                           GgmlType::q4_1, GgmlType::q5_0, GgmlType::q5_1),
                         [](const auto& test) { return std::string(name(test.param)); });

// One Q4_1 block by hand: d = 0.5, m = -1, byte j holds the codes of values j and j + 16.
TEST(GgmlTypes, Q4_1ByHand) {
  std::vector<std::byte> block(20);
  const std::uint16_t d = 0x3800;  // 0.5
  const std::uint16_t m = 0xbc00;  // -1
  std::memcpy(block.data(), &d, 2);
  std::memcpy(block.data() + 2, &m, 2);
  block[4] = std::byte{0x3f};  // value 0: 15, value 16: 3
  std::vector<float> out(32);
  dequantize(GgmlType::q4_1, block, out);
  EXPECT_EQ(out[0], 6.5f);
  EXPECT_EQ(out[16], 0.5f);
  EXPECT_EQ(out[1], -1.0f);
}

TEST(GgmlTypes, Integers) {
  const std::int16_t shorts[] = {-3, 30000};
  std::vector<float> out(2);
  dequantize(GgmlType::i16, std::as_bytes(std::span(shorts)), out);
  EXPECT_THAT(out, ::testing::ElementsAre(-3.0f, 30000.0f));
  const std::int64_t longs[] = {-5, std::int64_t{1} << 40};
  dequantize(GgmlType::i64, std::as_bytes(std::span(longs)), out);
  EXPECT_THAT(out, ::testing::ElementsAre(-5.0f, 0x1p40f));
}

TEST(GgmlTypes, KQuantsHaveNoQuantizer) { EXPECT_THROW(quantize(GgmlType::q4_k, std::vector<float>(256)), Error); }

// 2^27 weights, about SmolLM2-135M: 0.13 s on two threads, measured. The bound is on the processor's time, which other
// programs on the machine don't lengthen much.
TEST(SlowGgmlTypes, DequantizesAModelInASecond) {
  const std::size_t blocks = (std::size_t{1} << 27) / 32;
  const std::vector<std::byte> bytes(blocks * 20);
  AlignedBuffer<float> out(blocks * 32);
  std::fill(out.span().begin(), out.span().end(), 1.0f);
  const std::clock_t start = std::clock();
  dequantize(GgmlType::q4_1, bytes, out.span());
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_LT(seconds, 4);
  EXPECT_EQ(out[0], 0.0f);
  EXPECT_EQ(out[out.size() - 1], 0.0f);
}

}  // namespace
}  // namespace lcomp
