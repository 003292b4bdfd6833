#include "lcomp/quantizers/uniform/uniform_grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <limits>

#include "core/instruction_sets.h"
#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/grouped_integer.h"
#include "support/error_message.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;

constexpr ScaleValues in_f32{ScaleStorage::f32, 0};
constexpr ScaleValues in_f16{ScaleStorage::f16, 0};

std::vector<float> normal_weights(std::size_t size, std::uint64_t seed, float deviation = 1) {
  Rng rng(seed);
  std::vector<float> weights(size);
  for (float& w : weights) w = deviation * static_cast<float>(rng.normal());
  return weights;
}

std::vector<std::uint8_t> codes_of(const std::vector<float>& weights, const UniformGrid& grid,
                                   const GridSetting& setting) {
  std::vector<std::uint8_t> codes(weights.size());
  round_to_grid(weights, grid, setting, codes);
  return codes;
}

TEST(UniformGridTest, AsymmetricByHand) {
  // Range -1 .. 2 in 2 bits: scale 3 / 3 = 1, zero point 1. -1 -> 0, 0.4 -> 0 + 1, 0.5 -> half to even 0 + 1, 1.5 -> 2
  // + 1, 2 -> 3.
  const std::vector<float> weights = {-1, 0.4f, 0.5f, 1.5f, 2};
  const GridSetting setting{2, false, GridFit::minmax};
  const UniformGrid grid = fit_grid(weights, setting, in_f32);
  EXPECT_EQ(grid.scale, 1);
  EXPECT_EQ(grid.zero_point, 1);
  EXPECT_EQ(codes_of(weights, grid, setting), (std::vector<std::uint8_t>{0, 1, 1, 3, 3}));
  // Errors 0, 0.4, 0.5, -0.5, 0.
  EXPECT_NEAR(grid_error(weights, grid, setting), 0.16 + 0.25 + 0.25, 1e-6);
  const std::vector<float> column_weights = {1, 1, 0, 2, 1};
  EXPECT_NEAR(grid_error(weights, grid, setting, column_weights), 0.16 + 0.5, 1e-6);
}

TEST(UniformGridTest, SymmetricByHand) {
  // max |w| = 3 in 2 bits: scale 2 * 3 / 3 = 2, zero point 2: levels -4, -2, 0, 2.
  const std::vector<float> weights = {-3, -1.5f, 0.9f, 3};
  const GridSetting setting{2, true, GridFit::minmax};
  const UniformGrid grid = fit_grid(weights, setting, in_f32);
  EXPECT_EQ(grid.scale, 2);
  EXPECT_EQ(grid.zero_point, 2);
  // -3 / 2 = -1.5 -> -2 (even); -0.75 -> -1; 0.45 -> 0; 1.5 -> 2, clamped to the level 1
  EXPECT_EQ(codes_of(weights, grid, setting), (std::vector<std::uint8_t>{0, 1, 2, 3}));
}

TEST(UniformGridTest, TheRangeIncludesZero) {
  const std::vector<float> positive = {1, 2, 3};
  EXPECT_EQ(fit_grid(positive, {2, false, GridFit::minmax}, in_f32).zero_point, 0);
  EXPECT_EQ(fit_grid(positive, {2, false, GridFit::minmax}, in_f32).scale, 1);
  const std::vector<float> negative = {-1, -2, -3};
  EXPECT_EQ(fit_grid(negative, {2, false, GridFit::minmax}, in_f32).zero_point, 3);
}

TEST(UniformGridTest, AsymmetricRangesReachEveryWeight) {
  // Within the range, the nearest level is half a step away; the zero point is rounded, so that an end may lie half a
  // step outside.
  EXPECT_TRUE(rc::check([] {
    const int bits = *rc::gen::inRange(1, 9);
    const auto integers = *rc::gen::nonEmpty<std::vector<std::int16_t>>();
    const std::vector<float> weights(integers.begin(), integers.end());
    const GridSetting setting{bits, false, GridFit::minmax};
    const UniformGrid grid = fit_grid(weights, setting, in_f32);
    const auto codes = codes_of(weights, grid, setting);
    for (std::size_t j = 0; j < weights.size(); ++j) {
      const float decoded = grid.scale * (static_cast<float>(codes[j]) - grid.zero_point);
      RC_ASSERT(std::abs(weights[j] - decoded) <= 1.0001f * grid.scale);
    }
  }));
}

TEST(UniformGridTest, OneSymmetricBitIsTheMeanMagnitudeWithTheSign) {
  const std::vector<float> weights = {1, -3, 2, -2};
  const GridSetting setting{1, true, GridFit::minmax};
  const UniformGrid grid = fit_grid(weights, setting, in_f32);
  EXPECT_EQ(grid.scale, 4);  // 2 x mean |w|: levels -2 and 2
  EXPECT_EQ(grid.zero_point, 0.5f);
  EXPECT_EQ(codes_of(weights, grid, setting), (std::vector<std::uint8_t>{1, 0, 1, 0}));
  EXPECT_DOUBLE_EQ(grid_error(weights, grid, setting), 2);
}

TEST(UniformGridTest, TheSearchIsNeverWorseAndMostlyBetter) {
  for (const bool symmetric : {false, true}) {
    for (int bits = 1; bits <= 8; ++bits) {
      double plain = 0;
      double searched = 0;
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const auto weights = normal_weights(64, seed);
        const UniformGrid narrow = fit_grid(weights, {bits, symmetric, GridFit::mse}, in_f16);
        const UniformGrid whole = fit_grid(weights, {bits, symmetric, GridFit::minmax}, in_f16);
        const double of_narrow = grid_error(weights, narrow, {bits, symmetric, GridFit::mse});
        const double of_whole = grid_error(weights, whole, {bits, symmetric, GridFit::mse});
        EXPECT_LE(of_narrow, of_whole);
        searched += of_narrow;
        plain += of_whole;
      }
      const bool already_best = bits == 1 && symmetric;
      if (!already_best) {
        EXPECT_LT(searched, plain * (bits <= 3 ? 0.9 : 0.999)) << bits << (symmetric ? " bits, symmetric" : " bits");
      }
    }
  }
}

TEST(UniformGridTest, TheSearchComesNearTheBestOfAFineOne) {
  for (const int bits : {2, 3, 4}) {
    const GridSetting setting{bits, false, GridFit::mse};
    double found = 0;
    double best_of_all = 0;
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const auto weights = normal_weights(64, seed);
      found += grid_error(weights, fit_grid(weights, setting, in_f32), setting);
      double best = std::numeric_limits<double>::infinity();
      const float whole = fit_grid(weights, {bits, false, GridFit::minmax}, in_f32).scale;
      for (int step = 100; step <= 1000; ++step) {
        for (int zero = 0; zero < 1 << bits; ++zero) {
          const UniformGrid grid{whole * static_cast<float>(step) / 1000, static_cast<float>(zero)};
          best = std::min(best, grid_error(weights, grid, setting));
        }
      }
      best_of_all += best;
    }
    EXPECT_LT(found, 1.05 * best_of_all) << bits;
  }
}

TEST(UniformGridTest, TheSearchFindsAnOutlierNotWorthKeeping) {
  auto weights = normal_weights(4096, 3);
  weights[100] = 60;
  const GridSetting setting{2, true, GridFit::mse};
  const UniformGrid grid = fit_grid(weights, setting, in_f16);
  EXPECT_LT(grid.scale, 2.5f);  // the whole range has 40; a normal distribution alone is best at about 1
}

TEST(UniformGridTest, ColumnWeightsDecideWhatIsKept) {
  auto weights = normal_weights(64, 4);
  weights[10] = 30;
  std::vector<float> column_weights(64, 1);
  const GridSetting setting{3, true, GridFit::mse};
  column_weights[10] = 1000;
  const UniformGrid keeps = fit_grid(weights, setting, in_f16, column_weights);
  column_weights[10] = 0;
  const UniformGrid drops = fit_grid(weights, setting, in_f16, column_weights);
  EXPECT_GT(keeps.scale, 3 * drops.scale);
}

TEST(UniformGridTest, IsTheSameOnEveryInstructionSet) {
  const auto weights = normal_weights(1000, 5, 0.02f);
  for (const bool symmetric : {false, true}) {
    for (const int bits : {1, 2, 4, 8}) {
      const GridSetting setting{bits, symmetric, symmetric ? GridFit::mse : GridFit::hqq,
                                symmetric ? ZeroStorage::integer : ZeroStorage::f16};
      const UniformGrid expected = fit_grid(weights, setting, in_f16);
      const auto expected_codes = codes_of(weights, expected, setting);
      const double expected_error = grid_error(weights, expected, setting);
      testing::for_each_instruction_set([&](const char* target) {
        SCOPED_TRACE(target);
        const UniformGrid grid = fit_grid(weights, setting, in_f16);
        EXPECT_EQ(grid.scale, expected.scale);
        EXPECT_EQ(grid.zero_point, expected.zero_point);
        EXPECT_EQ(codes_of(weights, grid, setting), expected_codes);
        EXPECT_EQ(grid_error(weights, grid, setting), expected_error);
      });
    }
  }
}

TEST(UniformGridTest, RealZeroPointsByHand) {
  // Range -1 .. 2.5 in 2 bits: scale 3.5 / 3 = 7/6, zero point 6/7 = 0.857. -1 -> 0, 0.5 -> 3/7 + 6/7 = 1.29 -> 1,
  // 1.5 -> 9/7 + 6/7 = 2.14 -> 2, 2.5 -> 3, and the ends decode exactly.
  const std::vector<float> weights = {-1, 0.5f, 1.5f, 2.5f};
  const GridSetting setting{2, false, GridFit::minmax, ZeroStorage::f16};
  const UniformGrid grid = fit_grid(weights, setting, in_f32);
  EXPECT_FLOAT_EQ(grid.scale, 3.5f / 3);
  EXPECT_EQ(grid.zero_point, half_to_float(float_to_half(6.0f / 7)));
  const auto codes = codes_of(weights, grid, setting);
  EXPECT_EQ(codes, (std::vector<std::uint8_t>{0, 1, 2, 3}));
  // Errors 0, 1/2 - 1/6, 3/2 - 4/3, 0.
  EXPECT_NEAR(grid_error(weights, grid, setting), 1.0 / 9 + 1.0 / 36, 1e-3);
}

TEST(UniformGridTest, CodesOfRealZeroPointsAreTheNearest) {
  const auto weights = normal_weights(500, 6);
  for (const float zero_point : {-0.75f, 0.4375f, 2.5f, 3.8125f, 9.0f}) {
    const GridSetting setting{3, false, GridFit::hqq, ZeroStorage::f16};
    const UniformGrid grid{0.4f, zero_point};
    const auto codes = codes_of(weights, grid, setting);
    for (std::size_t j = 0; j < weights.size(); ++j) {
      const auto distance = [&](int code) {
        return std::abs(weights[j] - grid.scale * (static_cast<float>(code) - zero_point));
      };
      for (int code = 0; code < 8; ++code) EXPECT_LE(distance(codes[j]), distance(code) + 1e-6f);
    }
  }
}

// sum |w - w^|^p over groups of 64.
double half_quadratic_error(const std::vector<float>& weights, const GridSetting& setting, double p) {
  double sum = 0;
  for (std::size_t j = 0; j < weights.size(); j += 64) {
    const std::vector<float> group(weights.begin() + static_cast<std::ptrdiff_t>(j),
                                   weights.begin() + static_cast<std::ptrdiff_t>(j + 64));
    const UniformGrid grid = fit_grid(group, setting, in_f16);
    const auto codes = codes_of(group, grid, setting);
    for (std::size_t k = 0; k < group.size(); ++k) {
      const float decoded = grid.scale * (static_cast<float>(codes[k]) - grid.zero_point);
      sum += std::pow(static_cast<double>(std::abs(group[k] - decoded)), p);
    }
  }
  return sum;
}

TEST(UniformGridTest, HalfQuadraticNeedsRealZeroPoints) {
  for (const float unit : {0.02f, 1.0f}) {
    const auto weights = normal_weights(64 * 50, 7, unit);
    for (const int bits : {2, 3, 4}) {
      const GridSetting plain{bits, false, GridFit::minmax};
      const GridSetting with_integers{bits, false, GridFit::hqq};
      const GridSetting with_reals{bits, false, GridFit::hqq, ZeroStorage::f16};
      const double least = half_quadratic_error(weights, plain, 1);
      EXPECT_LE(half_quadratic_error(weights, with_integers, 1), least);
      EXPECT_GT(half_quadratic_error(weights, with_integers, 1), 0.99 * least);  // next to nothing
      EXPECT_LT(half_quadratic_error(weights, with_reals, 1), 0.97 * least);
      EXPECT_LT(half_quadratic_error(weights, with_reals, 0.7), 0.97 * half_quadratic_error(weights, plain, 0.7));
    }
  }
}

TEST(UniformGridTest, HalfQuadraticByHand) {
  // Range 0 .. 3 in 2 bits: scale 1, zero point 0. All but the ends lie 0.25 above an integer: errors of 0.25 shrink to
  // 0.25 - 0.25^-0.3 / 10 = 0.0984; the mean of code - w + shrunk error over 1 end and 3 others (the other end is left
  // out here) moves the zero point by -(0.25 - 0.0984) 3/4 = -0.114, and on towards -0.25 in later turns.
  const std::vector<float> weights = {3, 0.25f, 1.25f, 1.25f, 1.25f, 0.25f, 1.25f, 1.25f, 0.25f, 1.25f, 1.25f, 1.25f};
  const UniformGrid grid = fit_grid(weights, {2, false, GridFit::hqq, ZeroStorage::f16}, in_f32);
  EXPECT_EQ(grid.scale, 1);
  EXPECT_NEAR(grid.zero_point, -0.25f, 0.05f);
}

TEST(UniformGridTest, RefusesSettingsThatContradictThemselves) {
  EXPECT_NO_THROW(check_setting({4, false, GridFit::hqq, ZeroStorage::f16}, "w"));
  EXPECT_THROW(check_setting({4, true, GridFit::hqq}, "w"), Error);
  EXPECT_THROW(check_setting({4, true, GridFit::minmax, ZeroStorage::f16}, "w"), Error);
  EXPECT_THROW(check_setting({0, false}, "w"), Error);
  EXPECT_THROW(check_setting({9, false}, "w"), Error);
}

TEST(UniformGridTest, ZerosDecodeToZeros) {
  const std::vector<float> zeros(10, 0.0f);
  for (const ScaleValues& scales : {in_f32, in_f16, ScaleValues{ScaleStorage::u8, 1.0f}}) {
    for (const bool symmetric : {false, true}) {
      for (const int bits : {1, 2, 4, 8}) {
        const GridSetting setting{bits, symmetric, GridFit::mse};
        const UniformGrid grid = fit_grid(zeros, setting, scales);
        for (const std::uint8_t code : codes_of(zeros, grid, setting))
          EXPECT_EQ(grid.scale * (code - grid.zero_point), 0);
        EXPECT_EQ(grid_error(zeros, grid, setting), 0);
      }
    }
  }
}

TEST(UniformGridTest, ScalesBelowF16StayPositive) {
  const std::vector<float> tiny = {1e-8f, -1e-8f, 3e-9f};
  const UniformGrid grid = fit_grid(tiny, {4, true, GridFit::minmax}, in_f16);
  EXPECT_EQ(grid.scale, std::exp2(-24.0f));
  // With a row scale, the code gives 8 more bits: 2e-8 / 15 = 1.33e-9 = 5.96e-8 * 6 / 255, nearly.
  const RowGrids row = fit_row(tiny, 3, {4, true, GridFit::minmax}, ScaleStorage::u8, "w");
  EXPECT_EQ(row.row_scale, std::exp2(-24.0f));
  EXPECT_NEAR(row.grids[0].scale, 1.33e-9f, 0.1e-9f);
}

TEST(UniformGridTest, ScalesThatOverflowAreRefused) {
  const std::vector<float> huge = {1e6f, -3, 1, 2};
  for (const GridFit fit : {GridFit::minmax, GridFit::mse}) {
    for (const ScaleStorage storage : {ScaleStorage::f16, ScaleStorage::u8}) {
      try {
        const RowGrids grids = fit_row(huge, 2, {2, true, fit}, storage, "layer, row 3");
        EXPECT_LT(grids.grids[0].scale, 65504);  // mse may find a range that fits
        EXPECT_EQ(fit, GridFit::mse);
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("layer, row 3"));
        EXPECT_THAT(error.what(), HasSubstr("columns 0 .. 1"));
      }
    }
    EXPECT_NO_THROW(fit_row(huge, 2, {2, true, fit}, ScaleStorage::f32, "w"));
  }
  const std::vector<float> largest = {3e38f, -3e38f};
  EXPECT_THROW(fit_row(largest, 2, {2, true, GridFit::minmax}, ScaleStorage::f32, "w"), Error);
}

TEST(UniformGridTest, RowScalesCarryTheLargestGroup) {
  std::vector<float> row(96, 0.0f);
  for (std::size_t j = 0; j < 32; ++j) row[j] = j % 2 == 0 ? 1.0f : -1.0f;     // scale 2/15
  for (std::size_t j = 64; j < 96; ++j) row[j] = j % 2 == 0 ? 0.25f : -0.25f;  // a quarter of it; between them zeros
  const RowGrids fitted = fit_row(row, 32, {4, true, GridFit::minmax}, ScaleStorage::u8, "w");
  ASSERT_EQ(fitted.grids.size(), 3u);
  EXPECT_EQ(fitted.row_scale, half_to_float(float_to_half(2.0f / 15)));
  EXPECT_EQ(fitted.grids[0].scale, fitted.row_scale);
  EXPECT_EQ(fitted.grids[1].scale, 0);
  EXPECT_EQ(fitted.grids[2].scale, fitted.row_scale * 64 / 255);
}

TEST(UniformGridTest, NamesTheFirstWeightThatIsNoNumber) {
  std::vector<float> row(100, 1.0f);
  EXPECT_NO_THROW(require_finite(row, "w", 0));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t at : {0, 37, 99}) {
      row.assign(100, 1.0f);
      row[at] = bad;
      testing::for_each_instruction_set([&](const char* target) {
        SCOPED_TRACE(target);
        EXPECT_THAT(testing::message([&] { require_finite(row, "layer", 7); }),
                    HasSubstr("layer, row 7, column " + std::to_string(at)));
      });
    }
  }
}

}  // namespace
}  // namespace lcomp
