#include <gtest/gtest.h>

#include <cstring>

#include "lcomp/compression/compress_model.h"
#include "lcomp/formats/format.h"
#include "lcomp/io/safetensors.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

// SmolLM2-135M: 134,515,008 parameters; 30 blocks of 576 wide, MLP 1536, 3 of 9 heads for keys and values, tied
// embedding 49152 x 576.
TEST(SlowSmolLM2CompressionTest, BytesAreWhatPencilAndPaperSay) {
  LCOMP_REQUIRE(testing::smollm2());
  const testing::TemporaryFolder folder;
  const ModelFolder model = open_model(testing::smollm2());
  const auto plan = CompressionPlan::from_json({{"quantizer", "rtn:bits=4,group=64,asym"}}, "plan");
  const CompressionReport report = compress_model(model, plan, folder / "out");
  const std::uint64_t weights = 49152u * 576 + 30u * (2u * 576 * 576 + 2u * 192 * 576 + 3u * 1536 * 576);
  EXPECT_EQ(report.parameters, weights + 61u * 576);
  // 4 bits a weight, a 2-byte scale and a zero point of half a byte per 64 of them (all shapes are multiples of 64); 61
  // norms in f16.
  EXPECT_EQ(report.bytes, weights / 2 + weights / 64 * 5 / 2 + 61u * 576 * 2);
  const SafetensorsFile file(folder / "out" / "model.safetensors");
  std::uint64_t data = 0;
  for (const auto& entry : file.entries()) data += entry.bytes.size();
  EXPECT_EQ(report.bytes, data);

  const ModelFolder reloaded = open_model(folder / "out");
  const auto quantizer = make_quantizer("rtn:bits=4,group=64,asym", "test");
  for (const char* tensor : {"model.embed_tokens.weight", "model.layers.17.mlp.down_proj.weight"}) {
    const Matrix expected = decode(quantizer->quantize(model.tensors->read(tensor).view(), {}, tensor).weight);
    const Matrix read = reloaded.tensors->read(tensor);
    EXPECT_EQ(std::memcmp(read.data(), expected.data(), read.size() * sizeof(float)), 0) << tensor;
  }
}

TEST(SlowSmolLM2CompressionTest, RatiosAreReached) {
  LCOMP_REQUIRE(testing::smollm2());
  const testing::TemporaryFolder folder;
  const ModelFolder model = open_model(testing::smollm2());
  for (const double ratio : {3.0, 5.0, 7.0}) {
    const auto plan =
        CompressionPlan::from_json({{"quantizer", {{"method", "rtn"}}}, {"target", {{"ratio", ratio}}}}, "plan");
    const CompressionReport report = compress_model(model, plan, folder / "out", {.replace = true});
    EXPECT_GE(report.ratio, ratio);
    EXPECT_LT(report.ratio, 1.005 * ratio);
  }
}

}  // namespace
}  // namespace lcomp
