#include "quantizers/tables/scaled_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lcomp/core/rng.h"
#include "lcomp/formats/group_scales.h"
#include "lcomp/formats/logarithmic.h"
#include "quantizers/tables/normal_float.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;

// QLoRA's NF4 (arXiv 2305.14314, appendix E).
const std::vector<double> published_nf4{-1.0,
                                        -0.6961928009986877,
                                        -0.5250730514526367,
                                        -0.39491748809814453,
                                        -0.28444138169288635,
                                        -0.18477343022823334,
                                        -0.09105003625154495,
                                        0.0,
                                        0.07958029955625534,
                                        0.16093020141124725,
                                        0.24611230194568634,
                                        0.33791524171829224,
                                        0.44070982933044434,
                                        0.5626170039176941,
                                        0.7229568362236023,
                                        1.0};

TEST(NormalFloatLevelsTest, FourBitsAreThePublishedTable) {
  const std::vector<float> levels = normal_float_levels(4);
  ASSERT_EQ(levels.size(), published_nf4.size());
  for (std::size_t k = 0; k < levels.size(); ++k) {
    EXPECT_NEAR(static_cast<double>(levels[k]), published_nf4[k], 2e-7) << k;  // published in float32
  }
}

TEST(NormalFloatLevelsTest, EveryWidthAscendsFromMinusOneToOneWithAZero) {
  EXPECT_THAT(normal_float_levels(1), ElementsAre(-1, 1));
  for (int bits = 2; bits <= 8; ++bits) {
    const std::vector<float> levels = normal_float_levels(bits);
    ASSERT_EQ(levels.size(), std::size_t{1} << bits);
    EXPECT_EQ(levels.front(), -1);
    EXPECT_EQ(levels.back(), 1);
    EXPECT_EQ(levels[levels.size() / 2 - 1], 0);
    for (std::size_t k = 1; k < levels.size(); ++k) EXPECT_LT(levels[k - 1], levels[k]);
  }
}

TEST(ScaledTableTest, SortsLevelsAndKeepsTheirCodes) {
  const LevelTable table = make_level_table(logarithmic_levels(2, true, 2));  // 1, 0, -1, -1/2
  EXPECT_THAT(table.levels, ElementsAre(-1, -0.5f, 0, 1));
  EXPECT_THAT(table.codes, ElementsAre(2, 3, 1, 0));
  EXPECT_EQ(table.largest_magnitude(), 1);
}

TEST(ScaledTableTest, ErrorIsThatOfTheNearestLevels) {
  Rng rng(1);
  for (const int bits : {1, 3, 8}) {
    const LevelTable table = make_level_table(normal_float_levels(bits));
    std::vector<float> values(50), costs(50);
    for (float& w : values) w = static_cast<float>(rng.normal());
    for (float& c : costs) c = static_cast<float>(rng.uniform(0.1, 3));
    for (const float scale : {0.3f, 1.0f, 4.0f}) {
      double sum = 0;
      for (std::size_t j = 0; j < values.size(); ++j) {
        double least = std::numeric_limits<double>::infinity();
        for (const float level : table.levels) {
          least = std::min(least, std::pow(static_cast<double>(values[j]) - static_cast<double>(scale * level), 2));
        }
        sum += least * static_cast<double>(costs[j]);
      }
      EXPECT_NEAR(table_error(SortedWeights(values, costs), table, scale), sum, 1e-5 * sum);
    }
  }
}

TEST(ScaledTableTest, AbsmaxMapsTheLargestWeight) {
  const LevelTable table = make_level_table(normal_float_levels(4));
  const SortedWeights weights(std::vector<float>{0.1f, -3, 2}, {});
  EXPECT_EQ(fit_table_scale(weights, table, TableFit::absmax, {ScaleStorage::f32, 0}), 3);
  EXPECT_EQ(fit_table_scale(SortedWeights(std::vector<float>{0, 0}, {}), table, TableFit::mse, {ScaleStorage::f16, 0}),
            0);
  EXPECT_TRUE(std::isinf(
      fit_table_scale(SortedWeights(std::vector<float>{1e6f}, {}), table, TableFit::mse, {ScaleStorage::f16, 0})));
}

TEST(ScaledTableTest, TheSearchIsNearTheBestOfAFineGrid) {
  Rng rng(2);
  for (const auto& levels : {normal_float_levels(2), normal_float_levels(4), logarithmic_levels(3, false, 2),
                             logarithmic_levels(2, true, 4), logarithmic_levels(5, false, 1.3f)}) {
    const LevelTable table = make_level_table(levels);
    for (int attempt = 0; attempt < 5; ++attempt) {
      std::vector<float> values(64), costs(64);
      for (float& w : values) w = static_cast<float>(std::pow(rng.normal(), 3));
      for (float& c : costs) c = static_cast<float>(std::exp(rng.normal()));
      const SortedWeights weights(values, costs);
      const float absmax = fit_table_scale(weights, table, TableFit::absmax, {ScaleStorage::f32, 0});
      double least = table_error(weights, table, absmax);
      for (int i = 0; i < 2000; ++i) {
        least = std::min(least, table_error(weights, table, 1.7f * absmax * std::exp2(static_cast<float>(-i) / 350)));
      }
      const float found = fit_table_scale(weights, table, TableFit::mse, {ScaleStorage::f32, 0});
      EXPECT_LE(table_error(weights, table, found), 1.03 * least);
      for (const ScaleValues& storage :
           {ScaleValues{ScaleStorage::f16, 0}, ScaleValues{ScaleStorage::u8, 2 * absmax}}) {
        const float row_scale = storage.storage == ScaleStorage::u8 ? round_row_scale(storage.row_scale) : 0;
        const ScaleValues stored{storage.storage, row_scale};
        EXPECT_LE(table_error(weights, table, fit_table_scale(weights, table, TableFit::mse, stored)),
                  table_error(weights, table, fit_table_scale(weights, table, TableFit::absmax, stored)));
      }
    }
  }
}

}  // namespace
}  // namespace lcomp
