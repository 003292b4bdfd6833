#include "lcomp/quantizers/banded/banded_quantizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/column_permutation.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "quantizers/correlated_layer.h"
#include "support/error_message.h"

namespace lcomp {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bits = std::vector<std::uint8_t>;

const testing::CorrelatedLayer& layer() {
  static const testing::CorrelatedLayer made = testing::correlated_layer(192, 256, 1);
  return made;
}

LayerStats stats_of(const testing::CorrelatedLayer& of) {
  LayerStats stats;
  stats.hessian = of.hessian.view();
  return stats;
}

double proxy_error_of(const testing::CorrelatedLayer& of, const CompressedWeight& weight) {
  return proxy_error(of.weight.view(), decode(weight).view(), of.hessian.view());
}

TEST(BandedQuantizerTest, TakesAtMostTheBitsThatItIsAskedFor) {
  for (const char* bits : {"1.2", "2.5", "4", "7.75"}) {
    for (const char* kind : {"sym", "asym"}) {
      const auto quantizer = make_quantizer(std::string("banded:bits=") + bits + "," + kind, "test");
      const double taken =
          bits_per_weight(layout(quantizer->quantize(layer().weight.view(), stats_of(layer()), "w").weight));
      EXPECT_LE(taken, std::stod(bits));
      EXPECT_GE(taken, std::stod(bits) - 0.2) << "a bit of a band is an eighth";
    }
  }
}

TEST(BandedQuantizerTest, ProfilesRiseInBytesAndFallInCost) {
  const LayerStats stats = stats_of(layer());
  const BandedProblem problem(layer().weight.view(), &stats, {}, "w");
  const auto& profiles = problem.profiles();
  ASSERT_GT(profiles.size(), 20U);
  EXPECT_THAT(profiles.front().band_bits, Each(0));
  EXPECT_THAT(profiles.back().band_bits, Each(8));
  bool mixed = false;
  for (std::size_t k = 1; k < profiles.size(); ++k) {
    EXPECT_GT(profiles[k].bytes, profiles[k - 1].bytes);
    EXPECT_LT(profiles[k].cost, profiles[k - 1].cost);
    EXPECT_TRUE(std::ranges::is_sorted(profiles[k].band_bits, std::greater<>()));
    mixed = mixed || profiles[k].band_bits.front() > profiles[k].band_bits.back() + 1;
  }
  EXPECT_TRUE(mixed);
}

// 1/2 sum_i rho_i e_i H e_i^T, rho_i = 1 / rows: what feedback is to make small.
TEST(BandedQuantizerTest, CostsWhatItExpects) {
  const LayerStats stats = stats_of(layer());
  BandedOptions options;
  options.shrinkage_weight = 1;
  options.damping = 1e-4;
  const BandedProblem problem(layer().weight.view(), &stats, options, "w");
  const auto& profiles = problem.profiles();
  for (std::size_t k = 1; k < profiles.size(); k += 5) {
    const double cost = 0.5 / 192 * proxy_error_of(layer(), problem.quantize(profiles[k].band_bits));
    EXPECT_GT(cost, 0.5 * profiles[k].cost) << profiles[k].bytes;
    EXPECT_LT(cost, 1.5 * profiles[k].cost) << profiles[k].bytes;
  }
}

// What columns left out cost counts shrinkage_weight times; so fewer are left out for the same bytes.
TEST(BandedQuantizerTest, ColumnsLeftOutCountAsTheyAreWeighed) {
  const LayerStats stats = stats_of(layer());
  const auto problem_of = [&](double weight) {
    BandedOptions options;
    options.shrinkage_weight = weight;
    return BandedProblem(layer().weight.view(), &stats, options, "w");
  };
  const BandedProblem once = problem_of(1), often = problem_of(1000);
  EXPECT_NEAR(often.profiles().front().cost / once.profiles().front().cost, 1000, 1e-6);
  const auto left_out = [](const BandedProblem& problem) {
    std::size_t bands = 0;
    for (const BandProfile& profile : problem.profiles()) {
      if (profile.bytes > 192 * 96) break;  // two bits a weight
      bands = static_cast<std::size_t>(std::ranges::count(profile.band_bits, 0));
    }
    return bands;
  };
  EXPECT_LT(left_out(often), left_out(once));
}

TEST(BandedQuantizerTest, WidthsByBandsBeatOneWidth) {
  const auto error = [](const std::string& method) {
    const CompressedWeight weight =
        make_quantizer(method, "test")->quantize(layer().weight.view(), stats_of(layer()), "w").weight;
    return std::pair(proxy_error_of(layer(), weight), bits_per_weight(layout(weight)));
  };
  const auto [equal_error, equal_bits] = error("banded:bits=3.8,equal_widths");
  const auto [banded_error, banded_bits] = error("banded:bits=" + std::to_string(equal_bits));
  EXPECT_LE(banded_bits, equal_bits);
  EXPECT_LT(banded_error, 0.85 * equal_error);
  EXPECT_LT(equal_error, error("gptq:bits=3,group=64,act_order,grid=mse").first) << "with smaller groups";
}

// Inputs 32 ... 63 are nearly those of 0 ... 31: without bits for half of the columns, the others can do their work.
TEST(BandedQuantizerTest, OtherColumnsMakeUpForThoseWithoutBits) {
  const testing::CorrelatedLayer small = testing::correlated_layer(40, 32, 3);
  testing::CorrelatedLayer twice{Matrix(40, 64), Matrix(64, 64)};
  Rng rng(4);
  for (std::size_t i = 0; i < 40; ++i) {
    for (std::size_t j = 0; j < 64; ++j) twice.weight(i, j) = static_cast<float>((j < 32 ? 0.1 : 0.02) * rng.normal());
  }
  for (std::size_t i = 0; i < 64; ++i) {
    for (std::size_t j = 0; j < 64; ++j) {
      const std::size_t a = i % 32, b = j % 32;  // of equal size each
      const float size = std::sqrt(small.hessian(a, a) * small.hessian(b, b));
      twice.hessian(i, j) = small.hessian(a, b) / size + (i == j ? 1e-3F : 0);
    }
  }
  const LayerStats stats = stats_of(twice);
  BandedOptions options;
  options.damping = 1e-6;
  const BandedProblem problem(twice.weight.view(), &stats, options, "w");
  const BandedIntegerWeight half = problem.quantize(Bits{8, 0});
  Matrix zeroed = twice.weight.clone();  // the same columns left out, the others as they are
  const auto order = read_permutation(half.permutation, 64, "w");
  for (std::size_t i = 0; i < 40; ++i) {
    for (std::size_t j = 32; j < 64; ++j) zeroed(i, order[j]) = 0;
  }
  const double left_out = proxy_error(twice.weight.view(), zeroed.view(), twice.hessian.view());
  EXPECT_LT(proxy_error_of(twice, half), 0.05 * left_out);
  // And the cost is known beforehand.
  const auto& profiles = problem.profiles();
  const auto found = std::ranges::find_if(profiles, [](const BandProfile& p) { return p.band_bits[1] == 0; });
  ASSERT_NE(found, profiles.end());
  EXPECT_LT(profiles[1].cost, profiles[0].cost);
}

TEST(BandedQuantizerTest, RowsOfAnEmbeddingCountAsTheirTokens) {
  // Columns that matter less get fewer bits; there is nothing to feed back.
  std::vector<float> rows(192), columns(256);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i < 8 ? 1.0F : 1e-3F;
  for (std::size_t j = 0; j < columns.size(); ++j) columns[j] = j < 64 ? 1.0F : 1e-2F;
  LayerSensitivity sensitivity;
  sensitivity.rows = rows;
  sensitivity.columns = columns;
  sensitivity.embedding = true;
  LayerStats stats;
  stats.sensitivity = &sensitivity;
  const CompressedWeight weight =
      make_quantizer("banded:bits=4", "test")->quantize(layer().weight.view(), stats, "w").weight;
  const auto& bands = std::get<BandedIntegerWeight>(weight);
  EXPECT_GE(bands.band_bits[1], bands.band_bits[2] + 2) << "the first two bands matter 100 times as much";
  const auto order = read_permutation(bands.permutation, 256, "w");
  EXPECT_TRUE(std::all_of(order.begin(), order.begin() + 64, [](std::uint32_t column) { return column < 64; }));
}

TEST(BandedQuantizerTest, WhatNothingDependsOnBecomesZero) {
  const std::vector<float> none(192, 0.0F);
  Matrix hessian(256, 256);
  hessian.fill(0);
  LayerSensitivity sensitivity;
  sensitivity.outputs = none;
  sensitivity.guided_hessian = hessian.view();
  LayerStats stats;
  stats.sensitivity = &sensitivity;
  const auto [weight, warnings] = make_quantizer("banded:bits=4", "test")->quantize(layer().weight.view(), stats, "w");
  EXPECT_THAT(decode(weight).span(), Each(0.0F));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("no token depends on it")));
}

TEST(BandedQuantizerTest, FixedWidthsKeepTheirOrder) {
  const LayerStats stats = stats_of(layer());
  const BandedProblem problem(layer().weight.view(), &stats, {}, "w");
  const BandedIntegerWeight like = problem.quantize(Bits{8, 6, 6, 4, 3, 2, 1, 0});
  const BandedIntegerWeight rounded = round_to_bands(layer().weight.view(), view(like), GridFit::mse, "w");
  EXPECT_EQ(rounded.band_bits, like.band_bits);
  EXPECT_EQ(rounded.permutation, like.permutation);
  // Every weight within half a step of itself, or cut off by the search for the best range.
  const Matrix decoded = decode(CompressedWeight(rounded));
  const auto order = read_permutation(like.permutation, 256, "w");
  const std::vector<float> scales = decode_scales(view(rounded));
  for (std::size_t i = 0; i < 192; ++i) {
    for (std::size_t j = 0; j < 32; ++j) {
      EXPECT_LE(std::abs(decoded(i, order[j]) - layer().weight(i, order[j])), 1.5F * scales[i * rounded.coded_bands])
          << "8 bits: no more than a step is cut off";
    }
    for (std::size_t j = 224; j < 256; ++j) EXPECT_EQ(decoded(i, order[j]), 0);
  }
  const BandedIntegerWeight again = round_to_bands(layer().weight.view(), view(rounded), GridFit::mse, "w");
  EXPECT_EQ(again.codes, rounded.codes);
}

TEST(BandedQuantizerTest, GivenWidthsAreThoseOfTheirBits) {
  const LayerStats stats = stats_of(layer());
  BandedOptions options;
  const BandedProblem problem(layer().weight.view(), &stats, options, "w");
  const BandProfile& profile = problem.profiles()[12];
  options.bits = 8 * static_cast<double>(profile.bytes) / static_cast<double>(layer().weight.size());
  const auto given = BandedQuantizer(options, profile.band_bits).quantize(layer().weight.view(), stats, "w").weight;
  const auto found = BandedQuantizer(options).quantize(layer().weight.view(), stats, "w").weight;
  EXPECT_EQ(std::get<BandedIntegerWeight>(given).band_bits, profile.band_bits);
  EXPECT_EQ(std::get<BandedIntegerWeight>(given).codes, std::get<BandedIntegerWeight>(found).codes);
}

TEST(BandedQuantizerTest, RefusesTooFewBitsAndOptionsOutOfRange) {
  const auto quantizer = make_quantizer("banded:bits=0.05", "test");
  EXPECT_THAT(testing::message([&] { quantizer->quantize(layer().weight.view(), stats_of(layer()), "w"); }),
              HasSubstr("at least"));
  EXPECT_THAT(testing::message([] { make_quantizer("banded", "test"); }), HasSubstr("bits"));
  EXPECT_THAT(testing::message([] { make_quantizer("banded:bits=3,group=64", "test"); }), HasSubstr("group"));
  EXPECT_THAT(testing::message([] { make_quantizer("rotate+banded:bits=3", "test"); }), HasSubstr("transforms"));
  EXPECT_THAT(testing::message([] { make_quantizer("banded:bits=3,shrinkage_weight=-1", "test"); }),
              HasSubstr("shrinkage_weight"));
  EXPECT_THAT(testing::message([] { make_quantizer("banded:bits=3,min_bits=4,max_bits=2", "test"); }),
              HasSubstr("min_bits"));
}

}  // namespace
}  // namespace lcomp
