#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "lcomp/formats/format.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"
#include "quantizers/correlated_layer.h"

namespace lcomp {
namespace {

constexpr std::size_t row_count = 256, column_count = 192;

// A layer whose second half of rows matters 16 times as much, with the cost that its sensitivities stand for:
//   C = 1/2 sum_i rho_i e_i G e_i^T,   dC/dE = rho_i (E G)_i
class StepDerivativesTest : public ::testing::Test {
 protected:
  StepDerivativesTest() : layer(testing::correlated_layer(row_count, column_count, 3)) {
    for (std::size_t i = 0; i < row_count; ++i) outputs.push_back(i < row_count / 2 ? 1.0F : 16.0F);
    rows = outputs;
    for (std::size_t j = 0; j < column_count; ++j) columns.push_back(layer.hessian(j, j));
    sensitivity = {outputs, rows, columns, layer.hessian.view()};
    stats.hessian = layer.hessian.view();
    stats.sensitivity = &sensitivity;
  }

  StepDerivatives prices(double row_exponent, double column_exponent, double precision = 15) const {
    RateCodedOptions options;
    options.precision = 0;
    options.row_exponent = row_exponent;
    options.column_exponent = column_exponent;
    options.damping = 1e-5;  // R R^T is G
    const RateCodedProblem problem(layer.weight.view(), stats, options, "w");
    Matrix error = decode(CompressedWeight(problem.quantize(precision)));
    for (std::size_t k = 0; k < error.size(); ++k) error.data()[k] -= layer.weight.data()[k];
    const double sum = std::accumulate(outputs.begin(), outputs.end(), 0.0);
    const double scale = 0.5 * row_count;  // of the guided Hessian: the sum over all outputs
    Matrix gradient(row_count, column_count);
    for (std::size_t i = 0; i < row_count; ++i) {
      for (std::size_t j = 0; j < column_count; ++j) {
        double product = 0;
        for (std::size_t k = 0; k < column_count; ++k) {
          product += static_cast<double>(error(i, k)) * static_cast<double>(layer.hessian(k, j));
        }
        gradient(i, j) = static_cast<float>(scale * outputs[i] / sum * product);
      }
    }
    cost = 0;
    for (std::size_t k = 0; k < error.size(); ++k) {
      cost += static_cast<double>(error.data()[k]) * static_cast<double>(gradient.data()[k]);
    }
    return problem.step_derivatives(gradient.view(), error.view(), precision);
  }

  // Newton's change of an exponent.
  static double change(const StepDerivatives& prices, const StepDerivatives::Spread& spread) {
    return -spread.imbalance / (2 * std::numbers::ln2 * prices.cost * spread.variance);
  }

  testing::CorrelatedLayer layer;
  std::vector<float> outputs, rows, columns;
  LayerSensitivity sensitivity;
  LayerStats stats;
  mutable double cost = 0;
};

TEST_F(StepDerivativesTest, CostIsThatOfTheErrorsAndBitsAreThoseOfAllWeights) {
  const StepDerivatives found = prices(1, 1);
  EXPECT_NEAR(found.cost, cost, 1e-3 * cost) << "N Z^T has the trace of E G^T";
  EXPECT_NEAR(found.bits, row_count * column_count, 0.05 * row_count * column_count) << "all have bits";
}

TEST_F(StepDerivativesTest, EqualPricesAreBalanced) {
  const StepDerivatives found = prices(1, 1);
  EXPECT_NEAR(change(found, found.rows), 0, 0.05);
  EXPECT_NEAR(change(found, found.columns), 0, 0.05);
  EXPECT_NEAR(found.rows.variance, 1, 0.02) << "steps of two kinds, two octaves apart";
}

// With exponent 1/2 rows of both kinds have errors 4 times apart where they should be 16 times: costs of 1.6 and 0.4
// beside their mean, an imbalance of -0.6, and a change of 0.6 / (2 ln 2) = 0.43, of the 0.5 that are missing.
TEST_F(StepDerivativesTest, RowsTooMuchAlikeAreToBeSpread) {
  const StepDerivatives found = prices(0.5, 1);
  EXPECT_NEAR(change(found, found.rows), 0.43, 0.07);
  EXPECT_NEAR(change(found, found.columns), 0, 0.05) << "columns have nothing to do with it";
}

TEST_F(StepDerivativesTest, ColumnsTooMuchAlikeAreToBeSpreadAndTheOtherWayRound) {
  const StepDerivatives narrow = prices(1, 0.7);
  EXPECT_GT(change(narrow, narrow.columns), 0.15);
  EXPECT_LT(change(narrow, narrow.columns), 0.45);
  const StepDerivatives wide = prices(1, 1.3);
  EXPECT_LT(change(wide, wide.columns), -0.15);
}

TEST_F(StepDerivativesTest, WeightsWithoutBitsHaveNone) {
  const StepDerivatives found = prices(1, 1, 2);
  EXPECT_LT(found.bits, 0.2 * row_count * column_count);
}

}  // namespace
}  // namespace lcomp
