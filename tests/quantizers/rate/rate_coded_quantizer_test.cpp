#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lcomp/core/error.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "quantizers/correlated_layer.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;

double bits_of(const CompressedWeight& weight) { return bits_per_weight(layout(weight)); }

// The proxy error and bits of a method on a layer.
struct Outcome {
  double error = 0, bits = 0;
};
Outcome outcome(const std::string& method, const testing::CorrelatedLayer& layer) {
  LayerStats stats;
  stats.hessian = layer.hessian.view();
  const CompressedWeight weight = make_quantizer(method, "test")->quantize(layer.weight.view(), stats, "w").weight;
  return {proxy_error(layer.weight.view(), decode(weight).view(), layer.hessian.view()), bits_of(weight)};
}

const testing::CorrelatedLayer& wide_layer() {
  static const testing::CorrelatedLayer made = testing::correlated_layer(512, 256, 1);
  return made;
}

TEST(RateCodedQuantizerTest, TakesTheBitsThatItIsAskedFor) {
  for (const char* bits : {"1.2", "2.5", "4", "7.75"}) {
    const Outcome o = outcome(std::string("rate:bits=") + bits, wide_layer());
    EXPECT_LE(o.bits, std::stod(bits));
    EXPECT_GE(o.bits, 0.997 * std::stod(bits));
  }
}

TEST(RateCodedQuantizerTest, OneMorePrecisionIsAQuarterOfTheErrorForABit) {
  const Outcome coarse = outcome("rate:precision=13", wide_layer());
  const Outcome fine = outcome("rate:precision=14", wide_layer());
  EXPECT_NEAR(fine.bits - coarse.bits, 1, 0.1);
  EXPECT_NEAR(coarse.error / fine.error, 4, 0.3);
}

TEST(RateCodedQuantizerTest, TheTrellisGainsAtEqualBits) {
  // 0.18 bits for 8 states are 10^(0.1 * 1.08 dB) in squared error; side information is the same.
  const double plain = outcome("rate:bits=3.5,trellis=0", wide_layer()).error;
  const double states_4 = outcome("rate:bits=3.5,trellis=2", wide_layer()).error;
  const double states_8 = outcome("rate:bits=3.5,trellis=3", wide_layer()).error;
  EXPECT_LT(states_4, 0.86 * plain);
  EXPECT_LT(states_8, states_4);
}

TEST(RateCodedQuantizerTest, BeatsGptqAtEqualBits) {
  const Outcome gptq = outcome("gptq:bits=3,group=64,act_order,grid=mse", wide_layer());
  const Outcome rate = outcome("rate:bits=" + std::to_string(gptq.bits), wide_layer());
  EXPECT_LE(rate.bits, gptq.bits);
  EXPECT_LT(rate.error, 0.5 * gptq.error);
}

TEST(RateCodedQuantizerTest, StepsByColumnGain) {
  EXPECT_LT(outcome("rate:bits=3,rows=false", wide_layer()).error,
            outcome("rate:bits=3,rows=false,columns=false", wide_layer()).error);
}

// Sensitivities in which the second half of the rows matters 16 times as much.
struct Sensitive {
  std::vector<float> outputs, rows, columns;
  Matrix hessian;
  LayerSensitivity view;
  LayerStats stats;
  explicit Sensitive(float share = 16) {
    hessian = wide_layer().hessian.clone();
    for (std::size_t i = 0; i < 512; ++i) outputs.push_back(i < 256 ? 1.0f : share);
    rows = outputs;
    for (std::size_t j = 0; j < 256; ++j) columns.push_back(hessian(j, j));
    view = {outputs, rows, columns, hessian.view()};
    stats.hessian = wide_layer().hessian.view();
    stats.sensitivity = &view;
  }
};

double mean_square_error(const Matrix& decoded, std::size_t first_row, std::size_t row_count) {
  double sum = 0;
  for (std::size_t i = first_row; i < first_row + row_count; ++i) {
    for (std::size_t j = 0; j < 256; ++j) {
      sum += std::pow(static_cast<double>(decoded(i, j)) - static_cast<double>(wide_layer().weight(i, j)), 2);
    }
  }
  return sum / static_cast<double>(row_count * 256);
}

TEST(RateCodedQuantizerTest, RowsThatMatterHaveSmallerErrors) {
  const Sensitive sensitive;
  const auto ratio = [&](const std::string& method) {
    const Matrix decoded =
        decode(make_quantizer(method, "test")->quantize(wide_layer().weight.view(), sensitive.stats, "w").weight);
    return mean_square_error(decoded, 0, 256) / mean_square_error(decoded, 256, 256);
  };
  EXPECT_NEAR(ratio("rate:bits=4,row_exponent=1"), 16, 2);
  EXPECT_NEAR(ratio("rate:bits=4,row_exponent=0.5"), 4, 0.6);
  EXPECT_NEAR(ratio("rate:bits=4,rows=false"), 1, 0.1);
  EXPECT_NEAR(ratio("rate:bits=4,plain"), 1, 0.1);
}

TEST(RateCodedQuantizerTest, EqualPrecisionIsAnEqualPriceForCost) {
  // The same layer with a cost 16 times as large: at equal precision its errors are 16 times smaller, for two bits
  // more.
  Sensitive one(1);
  Sensitive other(1);
  for (float& h : other.hessian.span()) h *= 16;
  RateCodedOptions options;
  options.precision = 0;
  const RateCodedProblem a(wide_layer().weight.view(), one.stats, options, "w");
  const RateCodedProblem b(wide_layer().weight.view(), other.stats, options, "w");
  EXPECT_NEAR(b.curve().bits(12), a.curve().bits(14), 1e-6 * a.curve().bits(14));
  const CompressedWeight coarse = a.quantize(12);
  const CompressedWeight fine = b.quantize(12);
  EXPECT_NEAR(bits_of(fine) - bits_of(coarse), 2, 0.15);
}

TEST(RateCodedQuantizerTest, AnEmbeddingGoesByRowsAndColumns) {
  Sensitive sensitive;
  sensitive.view.embedding = true;
  sensitive.view.outputs = {};
  sensitive.view.guided_hessian = {};
  LayerStats stats;
  stats.sensitivity = &sensitive.view;
  const Matrix decoded = decode(
      make_quantizer("rate:bits=4,row_exponent=1", "test")->quantize(wide_layer().weight.view(), stats, "w").weight);
  EXPECT_NEAR(mean_square_error(decoded, 0, 256) / mean_square_error(decoded, 256, 256), 14,
              3);  // 5 % of the mean more
}

TEST(RateCodedQuantizerTest, WhatNothingDependsOnBecomesZero) {
  Sensitive sensitive;
  std::fill(sensitive.outputs.begin(), sensitive.outputs.end(), 0.0f);
  const auto [weight, warnings] =
      make_quantizer("rate:precision=9", "test")->quantize(wide_layer().weight.view(), sensitive.stats, "w");
  const Matrix decoded = decode(weight);
  for (const float w : decoded.span()) ASSERT_EQ(w, 0);
  EXPECT_LT(bits_of(weight), 0.06);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], HasSubstr("no token"));
}

TEST(RateCodedQuantizerTest, WithoutStatisticsStepsAreEqual) {
  const auto quantizer = make_quantizer("rate:bits=4", "test");
  const CompressedWeight weight = quantizer->quantize_without_statistics(wide_layer().weight.view(), "w").weight;
  EXPECT_LE(bits_of(weight), 4);
  const Matrix decoded = decode(weight);
  EXPECT_NEAR(mean_square_error(decoded, 0, 256) / mean_square_error(decoded, 256, 256), 1, 0.1);
  EXPECT_THROW(make_quantizer("rate:precision=4", "test")->quantize_without_statistics(wide_layer().weight.view(), "w"),
               Error);
  EXPECT_THROW(quantizer->quantize(wide_layer().weight.view(), {}, "w"), Error);
}

TEST(RateCodedQuantizerTest, RefusesTooFewBytes) {
  EXPECT_THROW(outcome("rate:bits=0.001", wide_layer()), Error);
  EXPECT_THROW(make_quantizer("rate", "test"), Error);
  EXPECT_THROW(make_quantizer("rate:bits=3,trellis=1", "test"), Error);
  EXPECT_THROW(make_quantizer("rate:bits=3,row_exponent=2", "test"), Error);
}

}  // namespace
}  // namespace lcomp
