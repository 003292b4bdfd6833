#include "quantizers/feedback/error_feedback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/instruction_sets.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "quantizers/correlated_layer.h"

namespace lcomp {
namespace {

using testing::correlated_layer;
using testing::CorrelatedLayer;
using ::testing::ElementsAre;

// Grids of the tests: a fixed step, powers of two, and a step fitted to each group.
enum class Grid { step, powers, fitted };

float nearest_power(float value) {
  if (std::abs(value) < 1e-4f) return 0;
  return std::copysign(std::exp2(std::round(std::log2(std::abs(value)))), value);
}

class TestRounder : public ColumnRounder {
 public:
  TestRounder(Grid grid, Matrix& out, std::size_t first_row, std::size_t row_count)
      : grid_(grid), out_(out), first_row_(first_row), steps_(row_count, 0.03f) {}

  void fit(std::size_t position, ConstMatrixView columns) override {
    EXPECT_EQ(columns.cols(), steps_.size());
    fitted_at_.push_back(position);
    for (std::size_t r = 0; r < steps_.size(); ++r) {
      float largest = 0;
      for (std::size_t k = 0; k < columns.rows(); ++k) largest = std::max(largest, std::abs(columns(k, r)));
      steps_[r] = largest / 3;
    }
  }

  void round(std::size_t position, std::span<const float> values, std::span<float> decoded) override {
    for (std::size_t r = 0; r < values.size(); ++r) {
      decoded[r] = grid_ == Grid::powers ? nearest_power(values[r]) : steps_[r] * std::nearbyint(values[r] / steps_[r]);
      out_(first_row_ + r, position) = decoded[r];
    }
  }

  void finish() override { EXPECT_EQ(fitted_at_.empty(), grid_ != Grid::fitted); }

 private:
  Grid grid_;
  Matrix& out_;  // [rows, positions]
  std::size_t first_row_;
  std::vector<float> steps_;
  std::vector<std::size_t> fitted_at_;
};

// Columns back in their own order.
Matrix rounded(const CorrelatedLayer& layer, const HessianFactor& factor, Grid grid, const FeedbackOptions& options) {
  Matrix by_position(layer.weight.rows(), layer.weight.cols());
  round_with_feedback(
      layer.weight.view(), factor, options,
      [&](std::size_t first_row, std::size_t row_count) {
        return std::make_unique<TestRounder>(grid, by_position, first_row, row_count);
      },
      "w");
  Matrix out(by_position.rows(), by_position.cols());
  for (std::size_t i = 0; i < out.rows(); ++i) {
    for (std::size_t j = 0; j < out.cols(); ++j) out(i, factor.order[j]) = by_position(i, j);
  }
  return out;
}

// The algorithm as the paper writes it, in double: U, the upper factor of the inverse, and errors that are subtracted
// from all later columns of the block at once and from those after the block when it is done.
Matrix rounded_as_published(const CorrelatedLayer& layer, const HessianFactor& factor, Grid grid,
                            const FeedbackOptions& options) {
  const std::size_t n = layer.weight.cols();
  std::vector<double> u(n * n, 0.0);  // by substitution, U R = 1
  for (std::size_t i = 0; i < n; ++i) {
    u[i * n + i] = 1 / static_cast<double>(factor.root(i, i));
    for (std::size_t j = i + 1; j < n; ++j) {
      double sum = 0;
      for (std::size_t k = i; k < j; ++k) sum += u[i * n + k] * static_cast<double>(factor.root(k, j));
      u[i * n + j] = -sum / static_cast<double>(factor.root(j, j));
    }
  }
  Matrix out(layer.weight.rows(), n);
  for (std::size_t row = 0; row < out.rows(); ++row) {
    std::vector<double> w(n);  // as of the last finished block
    std::vector<double> errors(n);
    for (std::size_t j = 0; j < n; ++j) w[j] = static_cast<double>(layer.weight(row, factor.order[j]));
    double step = static_cast<double>(0.03f);
    for (std::size_t begin = 0; begin < n; begin += options.block_size) {
      const std::size_t end = std::min(n, begin + options.block_size);
      std::vector<double> in_block(w.begin() + static_cast<std::ptrdiff_t>(begin),
                                   w.begin() + static_cast<std::ptrdiff_t>(end));
      for (std::size_t i = begin; i < end; ++i) {
        if (options.group_size > 0 && i % options.group_size == 0) {
          double largest = 0;
          for (std::size_t k = i; k < std::min(n, i + options.group_size); ++k)
            largest = std::max(largest, std::abs(w[k]));
          step = largest / 3;
        }
        const double value = in_block[i - begin];
        const double decoded = grid == Grid::powers ? static_cast<double>(nearest_power(static_cast<float>(value)))
                                                    : step * std::nearbyint(value / step);
        out(row, factor.order[i]) = static_cast<float>(decoded);
        const double error = (value - decoded) / u[i * n + i];
        for (std::size_t j = i; j < end; ++j) in_block[j - begin] -= error * u[i * n + j];
        errors[i] = error;
      }
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t j = end; j < n; ++j) w[j] -= errors[i] * u[i * n + j];
      }
    }
  }
  return out;
}

double share_of_near(const Matrix& a, const Matrix& b) {
  std::size_t same = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    if (std::abs(a.data()[k] - b.data()[k]) <= 1e-4f * (0.01f + std::abs(b.data()[k]))) ++same;
  }
  return static_cast<double>(same) / static_cast<double>(a.size());
}

struct FeedbackCase {
  std::size_t rows, cols;
  bool act_order;
  Grid grid;
  FeedbackOptions options;
};

// A weight half way between two points may fall to either side in float32, and the rest of its row follows: seldom.
TEST(ErrorFeedbackTest, EqualsTheAlgorithmAsPublished) {
  const FeedbackCase cases[] = {
      {40, 200, false, Grid::step, {128, 0}},    {40, 200, true, Grid::step, {128, 0}},
      {33, 200, true, Grid::powers, {128, 0}},   {7, 77, false, Grid::powers, {16, 0}},
      {1, 50, false, Grid::step, {1, 0}},        {150, 64, true, Grid::step, {1000, 0}},
      {40, 300, false, Grid::fitted, {128, 64}}, {40, 300, true, Grid::fitted, {128, 64}},
      {40, 300, true, Grid::fitted, {128, 48}},  {40, 300, false, Grid::fitted, {48, 100}},
      {40, 300, true, Grid::fitted, {16, 100}},  {40, 300, false, Grid::fitted, {37, 13}},
      {20, 150, true, Grid::fitted, {128, 150}}, {20, 150, true, Grid::fitted, {50, 1}},
  };
  for (const FeedbackCase& c : cases) {
    SCOPED_TRACE(::testing::Message() << c.rows << " x " << c.cols << ", blocks of " << c.options.block_size
                                      << ", groups of " << c.options.group_size);
    const CorrelatedLayer layer = correlated_layer(c.rows, c.cols, c.cols);
    const HessianFactor factor = factor_hessian(layer.hessian.view(), {0.01, c.act_order}, "w");
    const Matrix expected = rounded_as_published(layer, factor, c.grid, c.options);
    testing::for_each_instruction_set([&](const char* set) {
      EXPECT_GE(share_of_near(rounded(layer, factor, c.grid, c.options), expected), 0.99) << set;
    });
  }
}

TEST(ErrorFeedbackTest, ExampleByHand) {
  // R = [[2, 1], [0, 2]] (H = [[5, 2], [2, 4]]), integers for a grid, w = (0.4, 0.4): 0.4 -> 0, e = 0.4;
  // 0.4 + 0.4 * 1 / 2 = 0.6 -> 1. Rounding alone gives (0, 0), of error 5 * 0.16 + 2 * 2 * 0.16 + 4 * 0.16 = 2.08;
  // (0, 1) has 5 * 0.16 - 2 * 2 * 0.24 + 4 * 0.36 = 1.28.
  class Integers : public ColumnRounder {
   public:
    explicit Integers(Matrix& out) : out_(out) {}
    void round(std::size_t position, std::span<const float> values, std::span<float> decoded) override {
      values_.push_back(values[0]);
      out_(0, position) = decoded[0] = std::nearbyint(values[0]);
    }
    void finish() override { EXPECT_THAT(values_, ElementsAre(0.4f, ::testing::FloatEq(0.6f))); }
    Matrix& out_;
    std::vector<float> values_;
  };
  Matrix weight(1, 2), hessian(2, 2), out(1, 2);
  weight.fill(0.4f);
  hessian(0, 0) = 5, hessian(0, 1) = hessian(1, 0) = 2, hessian(1, 1) = 4;
  const HessianFactor factor = factor_hessian(hessian.view(), {0.0, false}, "w");
  round_with_feedback(
      weight.view(), factor, {}, [&](std::size_t, std::size_t) { return std::make_unique<Integers>(out); }, "w");
  EXPECT_THAT(out.span(), ElementsAre(0, 1));
  EXPECT_NEAR(proxy_error(weight.view(), out.view(), hessian.view()), 1.28, 1e-6);
}

TEST(ErrorFeedbackTest, BlocksAreOnlyAWayToComputeIt) {
  const CorrelatedLayer layer = correlated_layer(64, 300, 3);
  const HessianFactor factor = factor_hessian(layer.hessian.view(), {}, "w");
  const Matrix whole = rounded(layer, factor, Grid::step, {300, 0});
  for (const std::size_t block : {1, 7, 128, 299}) {
    EXPECT_GE(share_of_near(rounded(layer, factor, Grid::step, {block, 0}), whole), 0.99) << block;
  }
}

TEST(ErrorFeedbackTest, DoesNotDependOnTheNumberOfThreads) {
  const CorrelatedLayer layer = correlated_layer(300, 200, 4);
  const HessianFactor factor = factor_hessian(layer.hessian.view(), {}, "w");
  const std::size_t threads = thread_count();
  for (const auto& [grid, options] :
       {std::pair{Grid::step, FeedbackOptions{128, 0}}, std::pair{Grid::fitted, FeedbackOptions{64, 100}}}) {
    set_thread_count(1);
    const Matrix one = rounded(layer, factor, grid, options);
    set_thread_count(3);
    const Matrix three = rounded(layer, factor, grid, options);
    set_thread_count(threads);
    EXPECT_EQ(std::memcmp(one.data(), three.data(), one.size() * sizeof(float)), 0);
  }
}

TEST(ErrorFeedbackTest, DeadColumnsCountAsZeroAndChangeNothing) {
  CorrelatedLayer layer = correlated_layer(20, 60, 5);
  for (std::size_t j = 0; j < 60; ++j) layer.hessian(11, j) = layer.hessian(j, 11) = 0;
  const HessianFactor factor = factor_hessian(layer.hessian.view(), {0.0, false}, "w");
  const Matrix first = rounded(layer, factor, Grid::step, {});
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(first(i, 11), 0);
    layer.weight(i, 11) = 1e6f;
  }
  const Matrix second = rounded(layer, factor, Grid::step, {});
  EXPECT_EQ(std::memcmp(first.data(), second.data(), first.size() * sizeof(float)), 0);
}

TEST(ErrorFeedbackTest, SaysWhenTheFeedbackOverflows) {
  // R = [[1, 1e20], [0, 1e-19]]: an error of 0.01 in the first column asks the second to change by 1e37, an error of
  // 33 by more than a float32 holds.
  CorrelatedLayer layer = correlated_layer(3, 2, 1);
  HessianFactor factor = factor_hessian(layer.hessian.view(), {0.0, false}, "w");
  factor.root(0, 0) = 1, factor.root(0, 1) = 1e20f, factor.root(1, 1) = 1e-19f;
  layer.weight.fill(0.01f);
  EXPECT_NO_THROW(rounded(layer, factor, Grid::powers, {}));
  layer.weight.fill(95.0f);
  EXPECT_THROW(rounded(layer, factor, Grid::powers, {}), Error);
}

}  // namespace
}  // namespace lcomp
