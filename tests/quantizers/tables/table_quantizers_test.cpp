// Logarithmic, normal-float and codebook quantizers: what is theirs beyond the contract that all quantizers share.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "lcomp/core/error.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/logarithmic.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "quantizers/correlated_layer.h"
#include "quantizers/same_bytes.h"
#include "quantizers/tables/codebook_quantizer.h"
#include "quantizers/tables/logarithmic_quantizer.h"
#include "quantizers/tables/normal_float.h"

namespace lcomp {
namespace {

using testing::correlated_layer;
using testing::CorrelatedLayer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

CompressedWeight quantized(const std::string& method, ConstMatrixView weight, ConstMatrixView hessian,
                           std::vector<std::string>* warnings = nullptr) {
  LayerStats stats;
  stats.hessian = hessian;
  QuantizedWeight made = make_quantizer(method, "test")->quantize(weight, stats, "model.layers.3.mlp.up_proj");
  if (warnings != nullptr) warnings->insert(warnings->end(), made.warnings.begin(), made.warnings.end());
  return std::move(made.weight);
}

double error_of(const std::string& method, const CorrelatedLayer& layer) {
  const Matrix decoded = decode(quantized(method, layer.weight.view(), layer.hessian.view()));
  return proxy_error(layer.weight.view(), decoded.view(), layer.hessian.view());
}

const char* const plain_methods[] = {"log:bits=3,base=fit", "log:bits=4,base=2,group=channel",
                                     "nf:bits=3,grid=mse",  "nf:bits=4",
                                     "codebook:bits=3",     "codebook:bits=2,group=40"};

TEST(TableQuantizersTest, LogarithmicByHand) {
  Matrix weight(1, 4);
  weight(0, 0) = 8;
  weight(0, 1) = -4;
  weight(0, 2) = 1.1f;
  weight(0, 3) = -0.9f;
  const auto stored = std::get<LogarithmicWeight>(quantized("log:bits=3,group=4,base=2", weight.view(), {}));
  EXPECT_EQ(base(view(stored)), 2);
  const Matrix decoded = decode(CompressedWeight(stored));
  const std::vector<float> expected{8, -4, 1, -1};
  for (std::size_t j = 0; j < 4; ++j) EXPECT_NEAR(decoded(0, j), expected[j], 0.05f);
}

TEST(TableQuantizersTest, NormalFloatRoundsToTheNearestScaledLevel) {
  const CorrelatedLayer layer = correlated_layer(3, 64, 1);
  const auto stored = std::get<CodebookWeight>(quantized("nf:bits=4,group=64", layer.weight.view(), {}));
  std::vector<float> levels(16);
  decode_levels(view(stored), 0, levels);
  const Matrix decoded = decode(CompressedWeight(stored));
  for (std::size_t i = 0; i < 3; ++i) {
    float largest = 0;
    for (const float w : layer.weight.row(i)) largest = std::max(largest, std::abs(w));
    EXPECT_NEAR(decode_scales(view(stored))[i], largest, 1e-3f * largest);  // f16
    for (std::size_t j = 0; j < 64; ++j) {
      float least = std::numeric_limits<float>::infinity();
      for (const float level : levels) {
        least = std::min(least, std::abs(layer.weight(i, j) - level * decode_scales(view(stored))[i]));
      }
      EXPECT_NEAR(std::abs(layer.weight(i, j) - decoded(i, j)), least, 1e-6f);
    }
  }
}

TEST(TableQuantizersTest, FindsTheBaseOfWeightsThatArePowers) {
  Rng rng(2);
  for (const double true_base : {1.3, 2.0, 3.1}) {
    Matrix weight(16, 64);
    for (float& w : weight.span()) {
      w = static_cast<float>((rng.below(2) == 0 ? 1 : -1) * std::pow(true_base, -static_cast<double>(rng.below(4))));
    }
    const auto stored = std::get<LogarithmicWeight>(quantized("log:bits=3,base=fit", weight.view(), {}));
    EXPECT_NEAR(static_cast<double>(base(view(stored))), true_base, 0.03 * true_base);
  }
}

TEST(TableQuantizersTest, TheFittedBaseIsNoWorseThanOthers) {
  const CorrelatedLayer layer = correlated_layer(16, 192, 3);
  for (const char* zero : {"", ",zero"}) {
    for (const int bits : {2, 4}) {
      const auto error = [&](const std::string& base) {
        const Matrix decoded =
            decode(quantized("log:bits=" + std::to_string(bits) + ",base=" + base + zero, layer.weight.view(), {}));
        double sum = 0;
        for (std::size_t k = 0; k < decoded.size(); ++k) {
          sum += std::pow(static_cast<double>(decoded.data()[k]) - static_cast<double>(layer.weight.data()[k]), 2);
        }
        return sum;
      };
      const double fitted = error("fit");
      for (const char* base : {"1.2", "sqrt2", "1.7", "2", "3", "4"}) {
        EXPECT_LE(fitted, 1.02 * error(base)) << bits << zero << " " << base;
      }
    }
  }
}

TEST(TableQuantizersTest, TheDiagonalOfTheHessianWeighsColumns) {
  // All weight on the first column of two of different size: levels must serve it.
  Matrix weight(1, 3), hessian(3, 3);
  hessian.fill(0);
  for (std::size_t j = 0; j < 3; ++j) hessian(j, j) = j == 0 ? 1e6f : 1;
  weight(0, 0) = 0.3f;
  weight(0, 1) = 1;
  weight(0, 2) = 0.2f;
  const auto first_error = [&](const std::string& method, ConstMatrixView of_inputs) {
    return std::abs(decode(quantized(method, weight.view(), of_inputs))(0, 0) - 0.3f);
  };
  for (const char* method : {"codebook:bits=1,damping=0", "nf:bits=2,grid=mse,damping=0", "log:bits=2,damping=0"}) {
    EXPECT_LT(first_error(method, hessian.view()), 1e-3f) << method;
    EXPECT_GT(first_error(method, {}), 1e-2f) << method;
  }
}

TEST(TableQuantizersTest, FeedbackIsBetterThanNone) {
  const CorrelatedLayer layer = correlated_layer(40, 160, 4);
  for (const std::string method : plain_methods) {
    const double plain = error_of(method, layer);
    for (const char* order : {"", ",act_order", ",act_order,static_groups"}) {
      EXPECT_LT(error_of(method + ",feedback" + order, layer), 0.75 * plain) << method << order;
    }
  }
}

TEST(TableQuantizersTest, FeedbackWithADiagonalHessianIsPlainRounding) {
  CorrelatedLayer layer = correlated_layer(50, 160, 5);
  for (std::size_t i = 0; i < 160; ++i) {
    for (std::size_t j = 0; j < 160; ++j) layer.hessian(i, j) = i == j ? std::exp2(static_cast<float>(i % 5)) : 0;
  }
  for (const std::string method : plain_methods) {
    const auto plain = quantized(method, layer.weight.view(), layer.hessian.view());
    for (const char* order : {"", ",act_order,static_groups"}) {
      const auto with_feedback = quantized(method + ",feedback" + order, layer.weight.view(), layer.hessian.view());
      const double same = proxy_error(layer.weight.view(), decode(plain).view(), layer.hessian.view());
      EXPECT_NEAR(proxy_error(layer.weight.view(), decode(with_feedback).view(), layer.hessian.view()), same,
                  1e-3 * same)
          << method << order;
    }
  }
}

TEST(TableQuantizersTest, StoresAPermutationOnlyForGroupsInTheOrderOfVisit) {
  NormalFloatOptions options;
  options.bits = 4;
  options.feedback.enabled = true;
  EXPECT_FALSE(layout_of(options, 8, 200).permuted);
  options.feedback.act_order = true;
  EXPECT_TRUE(layout_of(options, 8, 200).permuted);
  EXPECT_FALSE(layout_of(options, 8, 64).permuted);
  options.feedback.static_groups = true;
  EXPECT_FALSE(layout_of(options, 8, 200).permuted);
  options.feedback.static_groups = false;
  options.granularity.kind = Granularity::Kind::channel;
  EXPECT_FALSE(layout_of(options, 8, 200).permuted);
}

TEST(TableQuantizersTest, DeadColumnsLeaveTheOthersAlone) {
  CorrelatedLayer layer = correlated_layer(20, 90, 6);
  for (std::size_t j = 0; j < 90; ++j) layer.hessian(17, j) = layer.hessian(j, 17) = 0;
  CorrelatedLayer other{layer.weight.clone(), layer.hessian.clone()};
  for (std::size_t i = 0; i < 20; ++i) other.weight(i, 17) = 5;
  for (const std::string method : {"log:bits=3,base=1.5,feedback", "nf:bits=3,grid=mse,feedback,act_order",
                                   "codebook:bits=3,feedback", "lnq:bits=3,alternations=0"}) {
    const Matrix a = decode(quantized(method, layer.weight.view(), layer.hessian.view()));
    const Matrix b = decode(quantized(method, other.weight.view(), other.hessian.view()));
    for (std::size_t i = 0; i < 20; ++i) {
      for (std::size_t j = 0; j < 90; ++j) {
        if (j == 17) continue;
        EXPECT_EQ(a(i, j), b(i, j)) << method;
      }
    }
  }
}

TEST(TableQuantizersTest, WithoutTokensTheyFitTheWeightsAndSaySo) {
  const CorrelatedLayer layer = correlated_layer(30, 90, 7);
  Matrix nothing(90, 90);
  nothing.fill(0);
  for (const std::string method :
       {"log:bits=3,group=32,base=2", "nf:bits=3,group=32", "codebook:bits=3,group=channel"}) {
    std::vector<std::string> warnings;
    const auto plain = quantized(method, layer.weight.view(), {}, &warnings);
    EXPECT_TRUE(warnings.empty());
    EXPECT_TRUE(testing::same_bytes(plain, quantized(method, layer.weight.view(), nothing.view(), &warnings)));
    EXPECT_TRUE(
        testing::same_bytes(plain, quantized(method + ",feedback", layer.weight.view(), nothing.view(), &warnings)));
    ASSERT_EQ(warnings.size(), 2u);
    EXPECT_THAT(warnings[1], HasSubstr("model.layers.3.mlp.up_proj"));
    quantized(method + ",feedback", layer.weight.view(), nothing.view());  // nobody asks
    const auto permuted = quantized(method + ",feedback,act_order", layer.weight.view(), nothing.view());
    EXPECT_EQ(payload_bytes(permuted), make_quantizer(method + ",feedback,act_order", "test")->predicted_bytes(30, 90));
    EXPECT_EQ(proxy_error(decode(plain).view(), decode(permuted).view(), layer.hessian.view()), 0);
  }
  std::vector<std::string> warnings;
  EXPECT_TRUE(testing::same_bytes(quantized("codebook:bits=3", layer.weight.view(), {}),
                                  quantized("lnq:bits=3", layer.weight.view(), nothing.view(), &warnings)));
  EXPECT_EQ(warnings.size(), 1u);
}

TEST(TableQuantizersTest, RefuseWhatTheyCannotUse) {
  const CorrelatedLayer layer = correlated_layer(10, 40, 8);
  const auto refusal = [&](const std::string& method, ConstMatrixView weight, ConstMatrixView hessian) -> std::string {
    try {
      quantized(method, weight, hessian);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  for (const char* method :
       {"log:bits=3,feedback", "nf:bits=3,feedback", "codebook:bits=3,feedback,act_order", "lnq:bits=3"}) {
    EXPECT_EQ(refusal(method, layer.weight.view(), layer.hessian.view()), "accepted");
    EXPECT_THAT(refusal(method, layer.weight.view(), {}),
                ::testing::AllOf(HasSubstr("model.layers.3.mlp.up_proj"), HasSubstr("no Hessian")));
    EXPECT_THAT(refusal(method, layer.weight.view().cols_range(0, 39), layer.hessian.view()), HasSubstr("39 x 39"));
  }
  Matrix broken = layer.hessian.clone();
  broken(7, 7) = std::numeric_limits<float>::quiet_NaN();
  for (const char* method : {"log:bits=3", "nf:bits=3", "codebook:bits=3", "lnq:bits=3", "nf:bits=3,feedback"}) {
    EXPECT_THAT(refusal(method, layer.weight.view(), broken.view()), HasSubstr("column 7")) << method;
  }
  EXPECT_THAT(refusal("nf:bits=3", layer.weight.view(), layer.hessian.view().rows_range(0, 39)), HasSubstr("39 x 40"));
  Matrix huge = layer.weight.clone();
  huge(6, 31) = 3e38f;
  for (const char* method : {"log:bits=3", "nf:bits=3,scales=u8", "codebook:bits=3"}) {
    EXPECT_THAT(refusal(method, huge.view(), {}), HasSubstr("model.layers.3.mlp.up_proj, row 6")) << method;
  }
  EXPECT_EQ(refusal("nf:bits=3,scales=f32", huge.view(), {}), "accepted");
}

TEST(TableQuantizersTest, RefuseOptionsOutOfRange) {
  const auto refuses = [](auto options, auto make) { EXPECT_THROW(make(options), Error); };
  const auto log = [](const LogarithmicOptions& o) { LogarithmicQuantizer quantizer(o); };
  const auto nf = [](const NormalFloatOptions& o) { NormalFloatQuantizer quantizer(o); };
  const auto codebook = [](const CodebookOptions& o) { CodebookQuantizer quantizer(o); };
  const auto with_bits = [](auto options) {
    options.bits = 4;
    return options;
  };
  EXPECT_NO_THROW(log(with_bits(LogarithmicOptions())));
  EXPECT_NO_THROW(nf(with_bits(NormalFloatOptions())));
  EXPECT_NO_THROW(codebook(with_bits(CodebookOptions())));
  refuses(LogarithmicOptions(), log);  // open
  refuses(NormalFloatOptions(), nf);
  refuses(CodebookOptions(), codebook);
  auto l = with_bits(LogarithmicOptions());
  for (const float base : {1.0f, 0.5f, 4.1f, std::numeric_limits<float>::quiet_NaN()}) {
    l.base = base;
    refuses(l, log);
  }
  l = with_bits(LogarithmicOptions());
  l.bits = 0;
  refuses(l, log);
  auto n = with_bits(NormalFloatOptions());
  n.bits = 9;
  refuses(n, nf);
  n = with_bits(NormalFloatOptions());
  n.granularity.kind = Granularity::Kind::tensor;
  refuses(n, nf);
  n = with_bits(NormalFloatOptions());
  n.feedback.act_order = true;  // of what?
  refuses(n, nf);
  auto c = with_bits(CodebookOptions());
  c.granularity = {Granularity::Kind::group, 0};
  refuses(c, codebook);
  c = with_bits(CodebookOptions());
  c.feedback.damping = 2;
  refuses(c, codebook);
  c = with_bits(CodebookOptions());
  c.feedback.enabled = true;
  c.feedback.block_size = 0;
  refuses(c, codebook);
}

}  // namespace
}  // namespace lcomp
