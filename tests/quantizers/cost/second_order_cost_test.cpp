#include "lcomp/quantizers/cost/second_order_cost.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "lcomp/core/error.h"
#include "support/matrices.h"

namespace lcomp {
namespace {

constexpr std::size_t small_rows = 5, small_cols = 4;

struct Example {
  Matrix weight = testing::random_matrix(small_rows, small_cols, 11),
         decoded = testing::random_matrix(small_rows, small_cols, 12);
  Matrix hessian{small_cols, small_cols};
  std::vector<float> outputs = {0.1F, 0.5F, 0.0F, 2.0F, 0.3F}, row_sums = {1, 2, 0, 4, 0.5F},
                     column_sums = {0.25F, 3, 0.5F, 1};
  LayerSensitivity sensitivity;

  Example() {
    const Matrix root = testing::random_matrix(7, small_cols, 13);
    for (std::size_t a = 0; a < small_cols; ++a) {
      for (std::size_t b = 0; b < small_cols; ++b) {
        hessian(a, b) = 0;
        for (std::size_t t = 0; t < root.rows(); ++t) hessian(a, b) += root(t, a) * root(t, b);
      }
    }
    sensitivity.outputs = outputs;
    sensitivity.rows = row_sums;
    sensitivity.columns = column_sums;
    sensitivity.guided_hessian = hessian.view();
  }
  double error(std::size_t i, std::size_t j) const {
    return static_cast<double>(weight(i, j)) - static_cast<double>(decoded(i, j));
  }
};

TEST(ErrorCostTest, TellsWhatIsAlongTheWeight) {
  Example example;
  for (const bool embedding : {false, true}) {
    example.sensitivity.embedding = embedding;
    Matrix nothing(small_rows, small_cols), smaller(small_rows, small_cols);
    nothing.fill(0);
    for (std::size_t k = 0; k < smaller.size(); ++k) smaller.span()[k] = 0.7F * example.weight.span()[k];
    const double without = second_order_cost(example.weight.view(), nothing.view(), example.sensitivity, "layer");
    const ErrorCost of_smaller = error_cost(example.weight.view(), smaller.view(), example.sensitivity, "layer");
    EXPECT_NEAR(of_smaller.cost, 0.09 * without, 1e-5 * without);
    EXPECT_NEAR(of_smaller.along_weight, of_smaller.cost, 1e-5 * without);
    EXPECT_NEAR(of_smaller.weighed(3), 3 * of_smaller.cost, 1e-5 * without);

    // An error a W + F: what F has along the weight is taken off a.
    const ErrorCost of_any = error_cost(example.weight.view(), example.decoded.view(), example.sensitivity, "layer");
    EXPECT_EQ(of_any.cost,
              second_order_cost(example.weight.view(), example.decoded.view(), example.sensitivity, "layer"));
    EXPECT_GT(of_any.along_weight, 0);
    EXPECT_LT(of_any.along_weight, of_any.cost) << "Cauchy and Schwarz";
    const double along = std::sqrt(of_any.along_weight / without);
    double least = of_any.cost;
    for (const double a : {-along, along}) {
      Matrix freed(small_rows, small_cols);
      for (std::size_t k = 0; k < freed.size(); ++k) {
        freed.span()[k] = example.decoded.span()[k] - static_cast<float>(a) * example.weight.span()[k];
      }
      const ErrorCost rest = error_cost(example.weight.view(), freed.view(), example.sensitivity, "layer");
      least = std::min(least, rest.along_weight);
    }
    EXPECT_NEAR(least, 0, 1e-6 * without);

    const ErrorCost of_nothing = error_cost(nothing.view(), example.decoded.view(), example.sensitivity, "layer");
    EXPECT_EQ(of_nothing.along_weight, 0);
  }
}

TEST(SecondOrderCostTest, IsTheQuadraticFormOfTheGuidedHessian) {
  const Example example;
  const double all = std::accumulate(example.outputs.begin(), example.outputs.end(), 0.0);
  double expected = 0;
  for (std::size_t i = 0; i < small_rows; ++i) {
    for (std::size_t a = 0; a < small_cols; ++a) {
      for (std::size_t b = 0; b < small_cols; ++b) {
        expected += 0.5 * static_cast<double>(example.outputs[i]) / all * static_cast<double>(small_rows) / 2 *
                    example.error(i, a) * static_cast<double>(example.hessian(a, b)) * example.error(i, b);
      }
    }
  }
  EXPECT_NEAR(second_order_cost(example.weight.view(), example.decoded.view(), example.sensitivity, "layer"), expected,
              1e-5 * expected);
}

TEST(SecondOrderCostTest, CountsAnEmbeddingByRowsAndColumns) {
  Example example;
  example.sensitivity.embedding = true;
  const double all = std::accumulate(example.row_sums.begin(), example.row_sums.end(), 0.0);
  double expected = 0;
  for (std::size_t i = 0; i < small_rows; ++i) {
    for (std::size_t j = 0; j < small_cols; ++j) {
      expected += 0.5 * static_cast<double>(example.row_sums[i]) * static_cast<double>(example.column_sums[j]) / all *
                  example.error(i, j) * example.error(i, j);
    }
  }
  EXPECT_NEAR(second_order_cost(example.weight.view(), example.decoded.view(), example.sensitivity, "embedding"),
              expected, 1e-9 * expected);
}

TEST(SecondOrderCostTest, IsNothingWithoutErrorsAndWhereNoTokenDependsOnIt) {
  Example example;
  EXPECT_EQ(second_order_cost(example.weight.view(), example.weight.view(), example.sensitivity, "layer"), 0);
  example.outputs.assign(small_rows, 0);
  EXPECT_EQ(second_order_cost(example.weight.view(), example.decoded.view(), example.sensitivity, "layer"), 0);
}

TEST(SecondOrderCostTest, RefusesOtherShapes) {
  Example example;
  const Matrix other(small_rows + 1, small_cols);
  EXPECT_THROW(second_order_cost(example.weight.view(), other.view(), example.sensitivity, "layer"), Error);
  example.sensitivity.outputs = {};
  EXPECT_THROW(second_order_cost(example.weight.view(), example.decoded.view(), example.sensitivity, "layer"), Error);
}

}  // namespace
}  // namespace lcomp
