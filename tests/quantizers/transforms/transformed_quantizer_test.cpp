#include "quantizers/transforms/transformed_quantizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "quantizers/correlated_layer.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::correlated_layer;
using testing::CorrelatedLayer;
using ::testing::HasSubstr;

LayerStats stats_of(ConstMatrixView hessian) {
  LayerStats stats;
  stats.hessian = hessian;
  return stats;
}

CompressedWeight compressed(const std::string& method, const CorrelatedLayer& layer) {
  return make_quantizer(method, "test")->quantize(layer.weight.view(), stats_of(layer.hessian.view()), "w").weight;
}

double proxy_error_of(const std::string& method, const CorrelatedLayer& layer) {
  return proxy_error(layer.weight.view(), decode(compressed(method, layer)).view(), layer.hessian.view());
}

double squared_error_of(const std::string& method, const CorrelatedLayer& layer) {
  const Matrix decoded = decode(compressed(method, layer));
  double sum = 0;
  for (std::size_t k = 0; k < decoded.size(); ++k) {
    sum += std::pow(static_cast<double>(decoded.data()[k]) - static_cast<double>(layer.weight.data()[k]), 2);
  }
  return sum;
}

std::vector<float> stored_scales(const CompressedWeight& weight) {
  const auto& bytes = std::get<TransformedWeight>(weight).input_scales;
  std::vector<std::uint16_t> halves(bytes.size() / 2);
  std::memcpy(halves.data(), bytes.data(), bytes.size());
  std::vector<float> scales(halves.size());
  half_to_float(halves, scales);
  return scales;
}

// What the inner quantizer was given.
class Spy : public Quantizer {
 public:
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats, const std::string&) const override {
    const auto copy = [](ConstMatrixView from) {
      Matrix to(from.rows(), from.cols());
      for (std::size_t i = 0; i < from.rows(); ++i) std::copy_n(from.row(i).data(), from.cols(), to.row(i).data());
      return to;
    };
    weight_ = copy(weight);
    hessian_ = copy(stats.hessian);
    mean_.assign(stats.mean.begin(), stats.mean.end());
    absolute_maximum_.assign(stats.absolute_maximum.begin(), stats.absolute_maximum.end());
    tokens_ = stats.tokens;
    return make_quantizer("f32", "spy")->quantize(weight, {}, "w");
  }
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override {
    return DenseLayout{rows, cols, DenseType::f32};
  }
  bool uses_statistics() const override { return false; }
  std::string name() const override { return "spy"; }

  mutable Matrix weight_, hessian_;
  mutable std::vector<float> mean_, absolute_maximum_;
  mutable std::uint64_t tokens_ = 0;
};

TEST(TransformedQuantizerTest, ScalesFirstAndRotatesThen) {
  // H = 2 diag(16, 1): root mean squares 4 and 1, norm 2; alpha 1: c = (1/2, 2). W = (3, 5): W / c = (6, 2.5); with
  // signs a, b and H_2: ((6 a + 2.5 b), (6 a - 2.5 b)) / sqrt 2. T = H_2 diag(a c_0, b c_1): H' = T H T^T =
  // H_2 diag(8, 8) H_2 = 8 I.
  auto owned = std::make_unique<Spy>();
  const Spy& spy = *owned;
  const TransformedQuantizer quantizer({InputScalingOptions{1.0, 20}, RotationOptions{}}, std::move(owned));
  EXPECT_EQ(quantizer.name(), "scale:alpha=1+rotate+spy");
  Matrix weight(1, 2), hessian(2, 2);
  weight(0, 0) = 3, weight(0, 1) = 5;
  hessian.fill(0);
  hessian(0, 0) = 32, hessian(1, 1) = 2;
  const std::vector<float> mean = {2, 4}, absolute_maximum = {8, 9};
  LayerStats stats = stats_of(hessian.view());
  stats.mean = mean;
  stats.absolute_maximum = absolute_maximum;
  stats.tokens = 7;
  const CompressedWeight stored = quantizer.quantize(weight.view(), stats, "w").weight;
  const LayerTransform rotation = make_rotation({}, 1, 2);
  const float a = rotation.input_signs[0], b = rotation.input_signs[1];
  const float root = std::sqrt(0.5f);
  EXPECT_NEAR(spy.weight_(0, 0), root * (6 * a + 2.5f * b), 1e-6);
  EXPECT_NEAR(spy.weight_(0, 1), root * (6 * a - 2.5f * b), 1e-6);
  EXPECT_NEAR(spy.hessian_(0, 0), 8, 1e-5);
  EXPECT_NEAR(spy.hessian_(1, 1), 8, 1e-5);
  EXPECT_NEAR(spy.hessian_(0, 1), 0, 1e-5);
  ASSERT_EQ(spy.mean_.size(), 2u);  // x' = H_2 (a / 2 * 2, b * 2 * 4)
  EXPECT_NEAR(spy.mean_[0], root * (a + 8 * b), 1e-5);
  EXPECT_NEAR(spy.mean_[1], root * (a - 8 * b), 1e-5);
  EXPECT_TRUE(spy.absolute_maximum_.empty());  // not known of mixed channels
  EXPECT_EQ(spy.tokens_, 7u);
  EXPECT_EQ(stored_scales(stored), (std::vector<float>{0.5f, 2}));
  const Matrix decoded = decode(stored);
  EXPECT_NEAR(decoded(0, 0), 3, 1e-6);
  EXPECT_NEAR(decoded(0, 1), 5, 1e-6);
  EXPECT_EQ(payload_bytes(stored), 8u + 4 + 1);
  EXPECT_EQ(quantizer.predicted_bytes(1, 2), 8u + 4 + 1);
}

TEST(TransformedQuantizerTest, ScalesTheAbsoluteMaximumWhenNothingIsRotated) {
  auto owned = std::make_unique<Spy>();
  const Spy& spy = *owned;
  const TransformedQuantizer quantizer({InputScalingOptions{1.0, 20}, std::nullopt}, std::move(owned));
  Matrix weight(1, 2), hessian(2, 2);
  weight.fill(1);
  hessian.fill(0);
  hessian(0, 0) = 32, hessian(1, 1) = 2;
  const std::vector<float> absolute_maximum = {8, 9};
  LayerStats stats = stats_of(hessian.view());
  stats.absolute_maximum = absolute_maximum;
  quantizer.quantize(weight.view(), stats, "w");
  EXPECT_THAT(spy.absolute_maximum_, ::testing::ElementsAre(4, 18));
}

TEST(TransformedQuantizerTest, RotationTakesOutliersApart) {
  // One weight in 200 is ten times as large: every other range is blown up by one, and a rotated row's by a fifth.
  CorrelatedLayer layer = correlated_layer(64, 256, 1, 10);
  Rng rng(2);
  for (int k = 0; k < 80; ++k) layer.weight(rng.below(64), rng.below(256)) *= 10;
  for (const std::string method :
       {"rtn:bits=3,group=channel,sym", "rtn:bits=4,group=64,asym", "rtn:bits=4,group=tensor"}) {
    const double plain = squared_error_of(method, layer);
    EXPECT_LT(squared_error_of("rotate+" + method, layer), 0.7 * plain) << method;
    EXPECT_LT(squared_error_of("rotate:outputs,paley+" + method, layer), 0.7 * plain) << method;
  }
}

TEST(TransformedQuantizerTest, ScalingLowersTheProxyErrorWhereChannelsDiffer) {
  const CorrelatedLayer layer = correlated_layer(32, 128, 3);
  for (const std::string method : {"rtn:bits=3,group=64,asym", "rtn:bits=4,group=32,sym"}) {
    const double plain = proxy_error_of(method, layer);
    const double scaled = proxy_error_of("scale+" + method, layer);
    const double half = proxy_error_of("scale:alpha=0.5+" + method, layer);
    EXPECT_LT(scaled, 0.9 * plain) << method;
    EXPECT_LE(scaled, half) << method;
    EXPECT_DOUBLE_EQ(proxy_error_of("scale:alpha=0+" + method, layer), plain) << method;
  }
}

TEST(TransformedQuantizerTest, ScalingLowersTheProxyErrorOfTheReferenceLayer) {
  LCOMP_REQUIRE(testing::golden("gptq/data.safetensors"));
  const SafetensorsFile file(testing::golden("gptq/data.safetensors"));
  const CorrelatedLayer layer{testing::read_matrix(file, "W"), testing::read_matrix(file, "H")};
  for (const std::string method : {"rtn:bits=3,group=64", "rtn:bits=4,group=channel"}) {
    const double plain = proxy_error_of(method, layer);
    EXPECT_LT(proxy_error_of("scale:steps=5+" + method, layer), 0.9 * plain) << method;
    EXPECT_LT(proxy_error_of("scale:steps=5+rotate+" + method, layer),
              1.001 * proxy_error_of("rotate+" + method, layer))
        << method;  // alpha 0 is one of the steps
  }
}

TEST(TransformedQuantizerTest, SilentChannelsAndLayersWithoutTokens) {
  CorrelatedLayer layer = correlated_layer(8, 32, 5);
  for (std::size_t j = 0; j < 32; ++j) layer.hessian(3, j) = layer.hessian(j, 3) = 0;
  const CompressedWeight stored = compressed("scale:alpha=1+rtn:bits=8,group=32", layer);
  const std::vector<float> scales = stored_scales(stored);
  EXPECT_EQ(*std::max_element(scales.begin(), scales.end()), scales[3]);
  for (const float scale : scales) EXPECT_TRUE(scale >= 0.0099f && scale <= 101) << scale;
  layer.hessian.fill(0);
  EXPECT_EQ(stored_scales(compressed("scale+rtn:bits=4,group=32", layer)), std::vector<float>(32, 1.0f));
}

TEST(TransformedQuantizerTest, RefusesStatisticsThatDoNotFit) {
  const CorrelatedLayer layer = correlated_layer(4, 16, 6);
  const auto refusal = [&](const char* method, ConstMatrixView hessian) -> std::string {
    try {
      make_quantizer(method, "test")->quantize(layer.weight.view(), stats_of(hessian), "layers.3").weight;
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal("scale+rtn:bits=4", {}), HasSubstr("layers.3: no Hessian"));
  EXPECT_EQ(refusal("rotate+rtn:bits=4", {}), "accepted");
  EXPECT_THAT(refusal("rotate+gptq:bits=4", {}), HasSubstr("layers.3: no Hessian"));
  const Matrix small = correlated_layer(1, 8, 6).hessian;
  EXPECT_THAT(refusal("scale+rtn:bits=4", small.view()), HasSubstr("8 x 8"));
  EXPECT_THAT(refusal("rotate+gptq:bits=4", small.view()), HasSubstr("8 x 8"));
  for (const float bad : {NAN, INFINITY, -1.0f}) {
    Matrix damaged = layer.hessian.clone();
    damaged(5, 5) = bad;
    EXPECT_THAT(refusal("scale+rtn:bits=4", damaged.view()), HasSubstr("column 5")) << bad;
  }
  Matrix damaged = layer.hessian.clone();
  damaged(5, 6) = damaged(6, 5) = NAN;
  EXPECT_THAT(refusal("scale+rtn:bits=4", damaged.view()), HasSubstr("no numbers"));
}

TEST(TransformedQuantizerTest, PassesOnTheWarningsOfTheOneThatItKeeps) {
  CorrelatedLayer layer = correlated_layer(8, 16, 7);
  layer.hessian.fill(1);  // singular: damping has to be raised
  const auto warnings_of = [&](const char* method) {
    const LayerStats stats = stats_of(layer.hessian.view());
    return make_quantizer(method, "test")->quantize(layer.weight.view(), stats, "w").warnings;
  };
  ASSERT_EQ(warnings_of("gptq:bits=4,damping=0").size(), 1u);
  EXPECT_EQ(warnings_of("scale+gptq:bits=4,damping=0").size(), 1u);
}

TEST(TransformedQuantizerTest, WithoutStatisticsTheLayoutIsTheSame) {
  const CorrelatedLayer layer = correlated_layer(48, 96, 8);
  for (const char* method :
       {"scale:alpha=1+rotate:outputs+gptq:bits=2,group=32,act_order", "scale:alpha=1+rtn:bits=4", "rotate+f16"}) {
    const auto quantizer = make_quantizer(method, "test");
    const CompressedWeight plain = quantizer->quantize_without_statistics(layer.weight.view(), "w").weight;
    EXPECT_TRUE(layout(plain) == layout(compressed(method, layer))) << method;
    EXPECT_EQ(payload_bytes(plain), quantizer->predicted_bytes(48, 96)) << method;
    EXPECT_EQ(quantizer->uses_statistics(), std::string(method) != "rotate+f16");
  }
}

TEST(TransformedQuantizerTest, PredictedBytesAreThoseOfTheFile) {
  const CorrelatedLayer layer = correlated_layer(48, 96, 8);
  const testing::TemporaryFolder folder;
  for (const char* method :
       {"rotate:outputs,paley+gptq:bits=2,group=32", "scale:steps=1+rotate+rtn:bits=3,group=32,scales=u8",
        "scale:alpha=0.3+f16", "rotate+bf16"}) {
    CompressedFolderWriter writer(folder / "model", true);
    writer.add("w", {48, 96}, compressed(method, layer));
    writer.finish({{"model_type", "llama"}});
    const SafetensorsFile file(folder / "model" / "model.safetensors");
    std::uint64_t bytes = 0;
    for (const auto& entry : file.entries()) bytes += entry.bytes.size();
    EXPECT_EQ(bytes, make_quantizer(method, "test")->predicted_bytes(48, 96)) << method;
  }
}

TEST(TransformedQuantizerTest, SettingsRoundTrip) {
  const auto name_of = [](const nlohmann::json& setting) { return make_quantizer(setting, "test")->name(); };
  for (const char* name :
       {"rotate+f16", "rotate:block=64+rtn:bits=4,group=64,asym", "scale:alpha=0.5+rtn:bits=4,group=64,asym",
        "scale:fold,alpha=0.5,steps=3+rotate+rtn:bits=4,group=64,asym",
        "scale:steps=5+rotate:block=8,outputs,output_block=16,paley,seed=7+gptq:bits=2,group=128,asym,act_order"}) {
    EXPECT_EQ(name_of(name), name);
  }
  EXPECT_EQ(name_of({{"method", "rtn"},
                     {"bits", 4},
                     {"transforms", nlohmann::json::array({{{"transform", "scale"}}, {{"transform", "rotate"}}})}}),
            "scale+rotate+rtn:bits=4,group=64,asym");
  EXPECT_EQ(name_of({{"method", "rtn"}, {"bits", 4}, {"transforms", nlohmann::json::array()}}),
            "rtn:bits=4,group=64,asym");
  EXPECT_EQ(name_of("scale+rotate+rtn:bits=16"), "f16");  // plain, as without transforms
  for (const char* text : {"rotate+rtn:group=64,asym", "scale:fold+gptq:group=64,asym", "f16"}) {
    EXPECT_EQ(name(parse_quantizer_setting(text, "test")), text);
  }
}

// (rms / norm)^-alpha with norm = sqrt(8 * 0.5) = 2; silent channels count as 1e-4 of the largest.
TEST(TransformedQuantizerTest, ScalesOfRootMeanSquares) {
  EXPECT_EQ(input_scales({0.5, 3, 4, 8}, 1), (std::vector<float>{4, 2 / 3.0f, 0.5f, 0.25f}));
  EXPECT_EQ(input_scales({0.5, 4, 8, 8}, 0.5), (std::vector<float>{2, std::sqrt(0.5f), 0.5f, 0.5f}));
  EXPECT_EQ(input_scales({0.5, 3, 4, 8}, 0), (std::vector<float>{1, 1, 1, 1}));
  EXPECT_EQ(input_scales({0, 0}, 1), (std::vector<float>{1, 1}));
  EXPECT_THAT(input_scales({0, 1}, 1), ::testing::ElementsAre(::testing::FloatEq(100), ::testing::FloatEq(0.01f)));
}

TEST(TransformedQuantizerTest, FoldedScalesAreTakenOutOfSettings) {
  const auto take_from = [](const char* text) {
    QuantizerSetting setting = parse_quantizer_setting(text, "test");
    const auto taken = take_folded_scale(setting);
    return std::pair(taken, name(setting));
  };
  const auto [taken, rest] = take_from("scale:fold,alpha=0.5+rotate+rtn:bits=4,group=64,asym");
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->alpha, 0.5);
  EXPECT_EQ(rest, "rotate+rtn:bits=4,group=64,asym");
  EXPECT_TRUE(take_from("scale:fold+f16").first);
  EXPECT_EQ(take_from("scale:fold+f16").second, "f16");
  for (const char* other : {"scale+rtn:bits=4,group=64,asym", "rtn:bits=4,group=64,asym"}) {
    EXPECT_FALSE(take_from(other).first);
    EXPECT_EQ(take_from(other).second, other);
  }
}

TEST(TransformedQuantizerTest, RefusesSettingsNamingTheKey) {
  const auto refusal = [](const char* setting) -> std::string {
    try {
      make_quantizer(setting, "config.json: quantizer");
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal("spin+rtn:bits=4"), HasSubstr("rotate"));
  EXPECT_THAT(refusal("rotate+scale+rtn:bits=4"), HasSubstr("scale before rotate"));
  EXPECT_THAT(refusal("rotate+rotate+rtn:bits=4"), HasSubstr("at most once"));
  EXPECT_THAT(refusal("scale+scale+rtn:bits=4"), HasSubstr("at most once"));
  EXPECT_THAT(refusal("rotate:block=0+rtn:bits=4"), HasSubstr("transforms[0].block"));
  EXPECT_THAT(refusal("rotate:alpha=1+rtn:bits=4"), HasSubstr("alpha"));
  EXPECT_THAT(refusal("scale:alpha=1.5+rtn:bits=4"), HasSubstr("transforms[0].alpha"));
  EXPECT_THAT(refusal("scale:steps=0+rtn:bits=4"), HasSubstr("transforms[0].steps"));
  EXPECT_THAT(refusal("rotate:output_block=0+rtn:bits=4"), HasSubstr("output_block"));
  EXPECT_THAT(refusal("rotate:seed=-1+rtn:bits=4"), HasSubstr("seed"));
}

}  // namespace
}  // namespace lcomp
