#include "quantizers/tables/lnq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "quantizers/correlated_layer.h"
#include "quantizers/tables/alternating_levels.h"
#include "quantizers/tables/sorted_weights.h"

namespace lcomp {
namespace {

using testing::correlated_layer;
using testing::CorrelatedLayer;
using ::testing::ElementsAre;

float to_half(double value) { return half_to_float(float_to_half(static_cast<float>(value))); }

// Levels evenly spread over each row's range, each weight at the nearest.
LevelRows plain_start(const Matrix& weight, std::size_t levels) {
  LevelRows rows;
  rows.cols = weight.cols();
  rows.levels = Matrix(weight.rows(), levels);
  for (std::size_t i = 0; i < weight.rows(); ++i) {
    double largest = 0;
    for (const float w : weight.row(i)) largest = std::max(largest, std::abs(static_cast<double>(w)));
    for (std::size_t k = 0; k < levels; ++k) {
      rows.levels(i, k) = to_half(largest * (2 * static_cast<double>(k) + 1 - static_cast<double>(levels)) /
                                  static_cast<double>(levels));
    }
    for (const float w : weight.row(i)) {
      rows.ranks.push_back(static_cast<std::uint8_t>(nearest_level(rows.levels.row(i), w)));
    }
  }
  return rows;
}

Matrix decoded(const LevelRows& rows) {
  Matrix out(rows.rows(), rows.cols);
  for (std::size_t i = 0; i < out.rows(); ++i) {
    for (std::size_t j = 0; j < out.cols(); ++j) out(i, j) = rows.levels(i, rows.ranks[i * rows.cols + j]);
  }
  return out;
}

double error(const Matrix& weight, const Matrix& hessian, const LevelRows& rows) {
  return proxy_error(weight.view(), decoded(rows).view(), hessian.view());
}

double error_of_row(const Matrix& weight, const Matrix& hessian, const LevelRows& rows, std::size_t i) {
  const Matrix all = decoded(rows);
  return proxy_error(weight.view().rows_range(i, 1), all.view().rows_range(i, 1), hessian.view());
}

TEST(AlternatingLevelsTest, NoStepMakesAnyRowWorse) {
  const CorrelatedLayer layer = correlated_layer(20, 150, 1);
  for (const std::size_t levels : {2u, 4u, 8u, 32u}) {
    LevelRows rows = plain_start(layer.weight, levels);
    std::vector<double> errors(20);
    for (std::size_t i = 0; i < 20; ++i) errors[i] = error_of_row(layer.weight, layer.hessian, rows, i);
    const double start = error(layer.weight, layer.hessian, rows);
    for (int step = 0; step < 6; ++step) {
      if (step % 2 == 0) {
        improve_codes(layer.weight.view(), layer.hessian.view(), 1, rows);
      } else {
        improve_levels(layer.weight.view(), layer.hessian.view(), rows);
      }
      for (std::size_t i = 0; i < 20; ++i) {
        const double now = error_of_row(layer.weight, layer.hessian, rows, i);
        EXPECT_LE(now, errors[i] * (1 + 1e-5)) << levels << " levels, step " << step << ", row " << i;
        errors[i] = now;
      }
    }
    EXPECT_LT(error(layer.weight, layer.hessian, rows), 0.5 * start);
  }
}

TEST(AlternatingLevelsTest, CodesEndWhereNoSingleChangeHelps) {
  const CorrelatedLayer layer = correlated_layer(3, 70, 2);
  LevelRows rows = plain_start(layer.weight, 4);
  improve_codes(layer.weight.view(), layer.hessian.view(), 100, rows);
  const double reached = error(layer.weight, layer.hessian, rows);
  for (std::size_t at = 0; at < rows.ranks.size(); ++at) {
    const std::uint8_t before = rows.ranks[at];
    for (std::uint8_t rank = 0; rank < 4; ++rank) {
      rows.ranks[at] = rank;
      EXPECT_GE(error(layer.weight, layer.hessian, rows), reached * (1 - 1e-5));
    }
    rows.ranks[at] = before;
  }
}

TEST(AlternatingLevelsTest, LevelsAreTheLeastSquares) {
  // No small change of a level lowers the error, but for what f16 (a relative 2^-11) costs.
  const CorrelatedLayer layer = correlated_layer(5, 300, 3);  // more columns than a tile
  LevelRows rows = plain_start(layer.weight, 8);
  improve_levels(layer.weight.view(), layer.hessian.view(), rows);
  const double reached = error(layer.weight, layer.hessian, rows);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(std::is_sorted(rows.levels.row(i).begin(), rows.levels.row(i).end()));
    for (float& level : rows.levels.row(i)) {
      const float before = level;
      EXPECT_EQ(level, to_half(static_cast<double>(level)));
      for (const float change : {-0.001f, 0.001f}) {  // levels are about 0.05 apart
        level = before + change;
        EXPECT_GE(error(layer.weight, layer.hessian, rows), reached * (1 - 1e-4));
      }
      level = before;
    }
  }
}

TEST(AlternatingLevelsTest, ByHand) {
  // H = [[2, 1], [1, 2]], w = (1, 0.4), levels 0 and 1. From ranks (0, 0): g = w H = (2.4, 1.8); column 0's target is
  // 2.4 / 2: to 1. Then w - w^ = (0, 0.4), g_1 = 0.8, its target 0.4: to 0.
  Matrix weight(1, 2), hessian(2, 2);
  weight(0, 0) = 1;
  weight(0, 1) = 0.4f;
  hessian.fill(1);
  hessian(0, 0) = hessian(1, 1) = 2;
  LevelRows rows;
  rows.cols = 2;
  rows.levels = Matrix(1, 2);
  rows.levels(0, 0) = 0;
  rows.levels(0, 1) = 1;
  rows.ranks = {0, 0};
  improve_codes(weight.view(), hessian.view(), 1, rows);
  EXPECT_THAT(rows.ranks, ElementsAre(1, 0));
  improve_levels(weight.view(), hessian.view(), rows);  // a level each
  EXPECT_THAT(rows.levels.row(0), ElementsAre(to_half(0.4), 1));
}

TEST(AlternatingLevelsTest, DoesNotDependOnTheNumberOfThreads) {
  const CorrelatedLayer layer = correlated_layer(300, 90, 4);
  const std::size_t threads = thread_count();
  std::vector<LevelRows> results;
  for (const std::size_t count : {1u, 3u}) {
    set_thread_count(count);
    results.push_back(plain_start(layer.weight, 8));
    improve_codes(layer.weight.view(), layer.hessian.view(), 2, results.back());
    improve_levels(layer.weight.view(), layer.hessian.view(), results.back());
  }
  set_thread_count(threads);
  EXPECT_EQ(results[0].ranks, results[1].ranks);
  EXPECT_TRUE(
      std::equal(results[0].levels.span().begin(), results[0].levels.span().end(), results[1].levels.span().begin()));
}

double lnq_error(const LnqOptions& options, const CorrelatedLayer& layer) {
  LayerStats stats;
  stats.hessian = layer.hessian.view();
  const Matrix result = decode(LnqQuantizer(options).quantize(layer.weight.view(), stats, "w").weight);
  return proxy_error(layer.weight.view(), result.view(), layer.hessian.view());
}

TEST(LnqTest, MoreAlternationsAreNeverWorse) {
  const CorrelatedLayer layer = correlated_layer(40, 160, 5);
  for (const int bits : {1, 2, 4}) {
    LnqOptions options;
    options.bits = bits;
    options.damping = 0;  // so that the error that falls is the one that is measured
    double last = std::numeric_limits<double>::infinity();
    for (options.alternations = 0; options.alternations < 4; ++options.alternations) {
      const double now = lnq_error(options, layer);
      EXPECT_LE(now, last * (1 + 1e-6));
      if (options.alternations == 1) {
        EXPECT_LT(now, 0.97 * last);
      }
      last = now;
    }
  }
}

TEST(LnqTest, WithoutAlternationsItIsACodebookWithFeedback) {
  const CorrelatedLayer layer = correlated_layer(20, 100, 6);
  LayerStats stats;
  stats.hessian = layer.hessian.view();
  const Matrix start = decode(
      make_quantizer("codebook:bits=3,feedback,act_order", "test")->quantize(layer.weight.view(), stats, "w").weight);
  const Matrix lnq =
      decode(make_quantizer("lnq:bits=3,alternations=0", "test")->quantize(layer.weight.view(), stats, "w").weight);
  EXPECT_TRUE(std::equal(start.span().begin(), start.span().end(), lnq.span().begin()));
}

TEST(LnqTest, IsBetterThanGptqAtEqualWidth) {
  const CorrelatedLayer layer = correlated_layer(48, 192, 7);
  LayerStats stats;
  stats.hessian = layer.hessian.view();
  for (const int bits : {2, 3}) {
    LnqOptions options;
    options.bits = bits;
    const auto gptq = make_quantizer("gptq:group=channel,grid=mse,act_order,bits=" + std::to_string(bits), "test");
    const Matrix other = decode(gptq->quantize(layer.weight.view(), stats, "w").weight);
    EXPECT_LT(lnq_error(options, layer), 0.9 * proxy_error(layer.weight.view(), other.view(), layer.hessian.view()));
  }
}

TEST(LnqTest, RefusesOptionsOutOfRange) {
  LnqOptions options;
  EXPECT_THROW(LnqQuantizer{options}, Error);  // no bits
  options.bits = 9;
  EXPECT_THROW(LnqQuantizer{options}, Error);
  options.bits = 3;
  EXPECT_NO_THROW(LnqQuantizer{options});
  options.damping = -1;
  EXPECT_THROW(LnqQuantizer{options}, Error);
}

}  // namespace
}  // namespace lcomp
