#include "lcomp/calibration/input_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/instruction_sets.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "tiny_model.h"

namespace lcomp {
namespace {

std::string row_name(std::size_t row) { return "row " + std::to_string(row); }

Matrix shifted_rows(std::size_t rows, std::size_t cols) {
  Rng rng(11);
  Matrix values(rows, cols);
  for (float& v : values.span()) v = static_cast<float>(5 + rng.normal());
  return values;
}

TEST(InputStatistics, ByHand) {
  Matrix rows(2, 3);
  rows(0, 0) = 1, rows(0, 1) = -4, rows(0, 2) = 0;
  rows(1, 0) = 2, rows(1, 1) = 1, rows(1, 2) = 0;
  InputAccumulator sums(3);
  sums.add(rows.view(), row_name);
  const InputStatistics statistics = sums.statistics({"a", "b"});
  EXPECT_EQ(statistics.components, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(statistics.mean, (std::vector<float>{1.5, -1.5, 0}));
  EXPECT_EQ(statistics.absolute_maximum, (std::vector<float>{2, 4, 0}));
  EXPECT_EQ(statistics.hessian(1, 0), -2);  // 2/2 (1 * -4 + 2 * 1)
  const LayerStats view = statistics.view();
  EXPECT_EQ(view.tokens, 2U);
  EXPECT_EQ(view.hessian(1, 0), -2);
  EXPECT_EQ(view.mean[0], 1.5F);
  EXPECT_EQ(view.absolute_maximum[1], 4);
  ASSERT_NE(view.histogram, nullptr);
  EXPECT_EQ(view.histogram->count(), 6U);
  EXPECT_EQ(view.histogram->minimum(), -4);
  EXPECT_EQ(view.histogram->maximum(), 2);
}

TEST(InputStatistics, NoTokensGiveZeros) {
  const InputStatistics statistics = InputAccumulator(4).statistics({"expert"});
  EXPECT_EQ(statistics.tokens, 0U);
  EXPECT_EQ(statistics.mean, std::vector<float>(4, 0.0F));
  EXPECT_EQ(statistics.absolute_maximum, std::vector<float>(4, 0.0F));
  EXPECT_EQ(statistics.hessian.rows(), 4U);
  EXPECT_EQ(statistics.view().histogram, nullptr);
}

TEST(InputStatistics, RangesAreTheSameOnEveryInstructionSetAndThreadCount) {
  const Matrix rows = shifted_rows(100, 531);
  InputAccumulator first(531);
  first.add(rows.view(), row_name);
  const std::size_t before = thread_count();
  testing::for_each_instruction_set([&](const char* set) {
    SCOPED_TRACE(set);
    for (const std::size_t threads : {1, 3}) {
      set_thread_count(threads);
      InputAccumulator parts(531);
      parts.add(rows.view().rows_range(0, 33), row_name);
      parts.add(rows.view().rows_range(33, 67), row_name);
      EXPECT_EQ(parts.mean(), first.mean());
      EXPECT_EQ(parts.absolute_maximum(), first.absolute_maximum());
      EXPECT_EQ(parts.histogram().to_numbers(), first.histogram().to_numbers());
    }
  });
  set_thread_count(before);
  testing::ExactStatistics exact;
  exact.add(rows.view());
  testing::expect_close(first.statistics({"x"}), exact, 1e-6);
}

TEST(InputStatistics, MeanOfAMillionTokens) {
  Matrix rows(10000, 3);
  for (std::size_t i = 0; i < rows.rows(); ++i) rows(i, 0) = 0.1F, rows(i, 1) = 1e-8F, rows(i, 2) = 1e6F + 0.125F;
  InputAccumulator sums(3);
  for (int i = 0; i < 100; ++i) sums.add(rows.view(), row_name);
  EXPECT_EQ(sums.mean(), (std::vector<float>{0.1F, 1e-8F, 1e6F + 0.125F}));
}

TEST(InputStatistics, ValuesThatAreNotFiniteAreNamed) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    Matrix rows = shifted_rows(50, 37);
    rows(41, 29) = bad;
    rows(45, 3) = bad;
    InputAccumulator sums(37);
    try {
      sums.add(rows.view(), row_name);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.parts().where, "row 41");
      EXPECT_THAT(error.parts().found, ::testing::HasSubstr(std::isnan(bad) ? "NaN" : "infinity"));
      EXPECT_THAT(error.parts().found, ::testing::HasSubstr("column 29"));
    }
  }
}

TEST(InputStatistics, SquaresThatOverflowAreNamed) {
  Matrix rows(1, 2);
  rows(0, 0) = 1e20F, rows(0, 1) = 1;
  InputAccumulator sums(2);
  sums.add(rows.view(), row_name);
  try {
    sums.statistics({"model.layers.3.mlp.down_proj"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.parts().where, "model.layers.3.mlp.down_proj");
  }
}

}  // namespace
}  // namespace lcomp
