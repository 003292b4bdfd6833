#include "lcomp/lcomp.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

std::string model_bytes(const std::filesystem::path& folder) {
  std::ifstream file(folder / "model.safetensors", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

const std::filesystem::path demo = testing::source_folder() / "demo/model";

// A user's quantizer: the library's under another name.
class Renamed final : public Quantizer {
 public:
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override {
    return inner_->quantize(weight, stats, component);
  }
  bool uses_statistics() const override { return inner_->uses_statistics(); }
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override {
    return inner_->layout(rows, cols);
  }
  std::string name() const override { return "renamed"; }

 private:
  std::unique_ptr<Quantizer> inner_ = make_quantizer("rtn:bits=4,group=64", "test");
};

TEST(Lcomp, AQuantizerOfOnesOwnCompressesAsTheLibrarysDo) {
  const testing::TemporaryFolder folder;
  const CompressionReport by_name = compress(demo, "rtn:bits=4,group=64", {}, {}, folder / "name");
  const CompressionReport own = compress(demo, std::make_shared<Renamed>(), {}, folder / "own");
  EXPECT_EQ(own.bytes, by_name.bytes);
  EXPECT_EQ(own.parameters, by_name.parameters);
  EXPECT_EQ(own.kept_bytes, by_name.kept_bytes);
  EXPECT_EQ(own.components.at(3).quantizer, "renamed");
  EXPECT_EQ(own.components.at(3).relative_error, by_name.components.at(3).relative_error);
  EXPECT_EQ(open_model(folder / "own").stored_bytes(), own.bytes);
  EXPECT_FALSE(model_bytes(folder / "own").empty());
}

TEST(Lcomp, QuantizeSaysBytesAndErrors) {
  // Two levels of 1 bit, symmetric: -scale / 2 and scale / 2, which hold these values exactly.
  const std::vector<float> values = {-1, 1, 1, -1};
  const QuantizedTensor exact = quantize({values.data(), 1, 4}, {}, "rtn:bits=1,group=channel,sym");
  EXPECT_EQ(exact.squared_error, 0);
  EXPECT_FALSE(exact.proxy_error.has_value());
  EXPECT_EQ(exact.bits_per_weight, 8.0 * static_cast<double>(exact.bytes) / 4);
  // H = 2 I: the proxy error is twice the squared error.
  const std::vector<float> hessian = {2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2};
  const std::vector<float> others = {-1, 0.5, 0.25, -0.75};
  LayerStats stats;
  stats.hessian = {hessian.data(), 4, 4};
  const QuantizedTensor lossy = quantize({others.data(), 1, 4}, stats, "rtn:bits=1,group=channel,sym");
  EXPECT_GT(lossy.squared_error, 0);
  EXPECT_NEAR(lossy.proxy_error.value(), 2 * lossy.squared_error, 1e-9);
}

TEST(Lcomp, JobsOfMethodsThatShareOutASizeGetSensitivities) {
  const CalibrationData calibration = {.files = {"texts.jsonl"}, .sequences = 8, .tokens = 64};
  const CompressionJob learned = make_job("learned", {.ratio = 5}, calibration);
  EXPECT_TRUE(learned.learns());
  EXPECT_EQ(learned.calibration->order, CalibrationSetting::Order::original);
  EXPECT_TRUE(learned.calibration->sensitivity.has_value());
  const CompressionJob gptq = make_job("gptq:bits=3", {}, calibration);
  EXPECT_EQ(gptq.calibration->order, CalibrationSetting::Order::block);
  EXPECT_EQ(gptq.calibration->texts.sequences, 8U);
}

TEST(Lcomp, MistakesAreErrors) {
  EXPECT_NE(testing::message([] { make_job("rtnn"); }).find("rtnn"), std::string::npos);
  EXPECT_NE(testing::message([] { make_job("rtn", {.ratio = 3, .bytes = 5}); }).find("target"), std::string::npos);
}

}  // namespace
}  // namespace lcomp
