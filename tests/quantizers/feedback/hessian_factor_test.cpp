#include "lcomp/quantizers/feedback/hessian_factor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lapacke.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "quantizers/correlated_layer.h"

namespace lcomp {
namespace {

using testing::correlated_layer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

double mean_diagonal(const Matrix& h) {
  double sum = 0;
  for (std::size_t j = 0; j < h.rows(); ++j) sum += static_cast<double>(h(j, j));
  return sum / static_cast<double>(h.rows());
}

// H[order, order] + damping * mean diagonal * I in double.
std::vector<double> damped(const Matrix& h, const HessianFactor& factor) {
  const std::size_t n = h.rows();
  std::vector<double> out(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) out[i * n + j] = static_cast<double>(h(factor.order[i], factor.order[j]));
    out[i * n + i] += factor.damping * mean_diagonal(h);
  }
  return out;
}

TEST(HessianFactorTest, TheRootTimesItsTransposeIsTheDampedHessian) {
  for (const std::size_t n : {1, 2, 7, 130, 255, 256, 257, 520}) {
    for (const bool act_order : {false, true}) {
      SCOPED_TRACE(n);
      const Matrix h = correlated_layer(1, n, n, std::min<std::size_t>(2 * n, 300)).hessian;
      const HessianFactor factor = factor_hessian(h.view(), {0.01, act_order}, "w");
      EXPECT_FALSE(factor.warning);
      EXPECT_EQ(factor.damping, 0.01);
      const std::vector<double> expected = damped(h, factor);
      for (std::size_t i = 0; i < n; ++i) {
        EXPECT_GT(factor.root(i, i), 0);
        for (std::size_t j = 0; j < i; ++j) ASSERT_EQ(factor.root(i, j), 0);
        for (std::size_t j = i; j < n; ++j) {
          double sum = 0;
          for (std::size_t k = j; k < n; ++k) {
            sum += static_cast<double>(factor.root(i, k)) * static_cast<double>(factor.root(j, k));
          }
          // R is rounded to float32 once: 2^-24 for each of the products, whose absolute sum is at most the square root
          // of the diagonals' product (Cauchy).
          const double scale = std::sqrt(expected[i * n + i] * expected[j * n + j]);
          ASSERT_NEAR(sum, expected[i * n + j], 2e-7 * scale) << i << ", " << j;
        }
      }
    }
  }
}

TEST(HessianFactorTest, ExampleByHand) {
  // H = [[5, 2], [2, 4]] = R R^T with R = [[2, 1], [0, 2]]: 4 + 1 = 5, 1 * 2 = 2, 4.
  Matrix h(2, 2);
  h(0, 0) = 5, h(0, 1) = 2, h(1, 0) = 2, h(1, 1) = 4;
  const HessianFactor factor = factor_hessian(h.view(), {0.0, false}, "w");
  EXPECT_THAT(factor.root.span(), ElementsAre(2, 1, 0, 2));
  EXPECT_THAT(inverse_root(factor).span(), ElementsAre(0.5f, -0.25f, 0, 0.5f));
}

// The reference's way: factorisation, inverse, upper factor of the inverse; here in double.
TEST(HessianFactorTest, ItsInverseIsTheUpperFactorOfTheInverse) {
  for (const std::size_t n : {3, 64, 300}) {
    const Matrix h = correlated_layer(1, n, 10 + n).hessian;
    const HessianFactor factor = factor_hessian(h.view(), {0.01, true}, "w");
    std::vector<double> m = damped(h, factor);
    const int size = static_cast<int>(n);
    ASSERT_EQ(LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', size, m.data(), size), 0);
    ASSERT_EQ(LAPACKE_dpotri(LAPACK_ROW_MAJOR, 'L', size, m.data(), size), 0);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = i + 1; j < n; ++j) m[i * n + j] = m[j * n + i];
    }
    ASSERT_EQ(LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'U', size, m.data(), size), 0);
    const Matrix inverse = inverse_root(factor);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < i; ++j) ASSERT_EQ(inverse(i, j), 0);
      for (std::size_t j = i; j < n; ++j) {
        ASSERT_NEAR(static_cast<double>(inverse(i, j)), m[i * n + j], 2e-5 * m[i * n + i])
            << n << ": " << i << ", " << j;
      }
    }
  }
}

TEST(HessianFactorTest, ActOrderIsByDecreasingDiagonalAndStable) {
  Matrix h(5, 5);
  h.fill(0);
  const float diagonal[] = {2, 7, 0, 7, 0.5f};  // the third is dead and counts as 1
  for (std::size_t j = 0; j < 5; ++j) h(j, j) = diagonal[j];
  const HessianFactor factor = factor_hessian(h.view(), {0.0, true}, "w");
  EXPECT_THAT(factor.order, ElementsAre(1, 3, 0, 2, 4));
  EXPECT_THAT(factor.dead, ElementsAre(2));
  EXPECT_FLOAT_EQ(factor.root(3, 3), 1);
  EXPECT_FLOAT_EQ(factor.root(4, 4), std::sqrt(0.5f));
  EXPECT_THAT(factor_hessian(h.view(), {0.0, false}, "w").order, ElementsAre(0, 1, 2, 3, 4));
  // The dead column's 1 counts in the mean, too: 0.1 * (2 + 7 + 1 + 7 + 0.5) / 5 = 0.35
  const HessianFactor more = factor_hessian(h.view(), {0.1, false}, "w");
  EXPECT_FLOAT_EQ(more.root(2, 2), std::sqrt(1.35f));
}

TEST(HessianFactorTest, DoesNotDependOnTheNumberOfThreads) {
  const Matrix h = correlated_layer(1, 700, 5, 100).hessian;
  const std::size_t threads = thread_count();
  set_thread_count(1);
  const HessianFactor one = factor_hessian(h.view(), {}, "w");
  set_thread_count(3);
  const HessianFactor three = factor_hessian(h.view(), {}, "w");
  set_thread_count(threads);
  EXPECT_EQ(std::memcmp(one.root.data(), three.root.data(), one.root.size() * sizeof(float)), 0);
}

TEST(HessianFactorTest, RaisesTheDampingWhereItIsNeededAndSaysSo) {
  // [[1, 1 + e], [1 + e, 1]] has the eigenvalue -e: damping (the mean is 1) must exceed it.
  const auto with = [](float e, double damping) {
    Matrix h(2, 2);
    h(0, 0) = h(1, 1) = 1;
    h(0, 1) = h(1, 0) = 1 + e;
    return factor_hessian(h.view(), {damping, false}, "layers.7.down_proj");
  };
  EXPECT_FALSE(with(-0.5f, 0.01).warning);
  const HessianFactor raised = with(0.05f, 0.01);
  EXPECT_DOUBLE_EQ(raised.damping, 0.1);
  ASSERT_TRUE(raised.warning);
  EXPECT_THAT(*raised.warning, ::testing::AllOf(HasSubstr("layers.7.down_proj"), HasSubstr("0.01"), HasSubstr("0.1")));
  EXPECT_DOUBLE_EQ(with(0.5f, 0.01).damping, 1);
  EXPECT_DOUBLE_EQ(with(5e-5f, 0.0).damping, 1e-4);
  EXPECT_THAT([&] { with(2.0f, 0.01); },
              ::testing::ThrowsMessage<Error>(::testing::AllOf(HasSubstr("layers.7.down_proj"), HasSubstr("damping"))));
}

TEST(HessianFactorTest, FewerTokensThanColumnsAreEnoughWithDamping) {
  const Matrix h = correlated_layer(1, 200, 8, 20).hessian;  // rank 20
  EXPECT_FALSE(factor_hessian(h.view(), {0.01, true}, "w").warning);
  EXPECT_TRUE(factor_hessian(h.view(), {0.0, true}, "w").warning);
}

// Rank 100 of 300 and hardly any damping: float32 would leave an error of 1e-3 in the pivots of the rest.
TEST(HessianFactorTest, IsFoundInDoubleWhereColumnsNearlyFollowFromOthers) {
  constexpr std::size_t n = 300;
  const Matrix h = correlated_layer(1, n, 11, 100).hessian;
  const HessianFactor factor = factor_hessian(h.view(), {1e-5, true}, "w");
  std::vector<double> expected = damped(h, factor);
  ASSERT_FALSE(upper_root(std::vector<double>(expected).data(), n, n, 1e4));
  ASSERT_TRUE(upper_root(expected.data(), n, n));
  for (std::size_t i = 0; i < n; ++i) ASSERT_FLOAT_EQ(factor.root(i, i), static_cast<float>(expected[i * n + i])) << i;
}

TEST(HessianFactorTest, RefusesWhatIsNoHessian) {
  const auto refusal = [](Matrix h, double damping = 0.01) -> std::string {
    try {
      factor_hessian(h.view(), {damping, false}, "layers.7.q_proj");
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  const auto with = [](std::size_t i, std::size_t j, float value) {
    Matrix h = correlated_layer(1, 70, 1).hessian;
    h(i, j) = value;
    return h;
  };
  EXPECT_EQ(refusal(with(0, 0, 100)), "accepted");
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    EXPECT_THAT(refusal(with(67, 3, bad)), ::testing::AllOf(HasSubstr("layers.7.q_proj"), HasSubstr("row 67")));
    EXPECT_THAT(refusal(with(3, 67, bad)), HasSubstr("row 3"));
    EXPECT_THAT(refusal(with(69, 69, bad)), HasSubstr("row 69"));
  }
  EXPECT_THAT(refusal(with(5, 5, -1)), HasSubstr("negative diagonal in row 5"));
  EXPECT_THAT(refusal(Matrix(3, 4)), HasSubstr("3 x 4"));
  EXPECT_THAT(refusal(Matrix()), HasSubstr("0 x 0"));
  EXPECT_THAT(refusal(with(0, 0, 100), -0.1), HasSubstr("damping"));
  EXPECT_THAT(refusal(with(0, 0, 100), std::numeric_limits<double>::quiet_NaN()), HasSubstr("damping"));
}

template <class T>
void expect_root_in_place(double tolerance) {
  constexpr std::size_t n = 300, stride = 311;
  const Matrix h = correlated_layer(1, n, 2).hessian;
  std::vector<T> matrix(n * stride, T{1e30f});
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i; j < n; ++j) matrix[i * stride + j] = static_cast<T>(h(i, j));
  }
  ASSERT_TRUE(upper_root(matrix.data(), n, stride));
  for (std::size_t i = 0; i < n; i += 7) {
    for (std::size_t j = i; j < n; ++j) {
      double sum = 0;
      for (std::size_t k = j; k < n; ++k) {
        sum += static_cast<double>(matrix[i * stride + k]) * static_cast<double>(matrix[j * stride + k]);
      }
      const double scale = std::sqrt(static_cast<double>(h(i, i)) * static_cast<double>(h(j, j)));
      ASSERT_NEAR(sum, static_cast<double>(h(i, j)), tolerance * scale);
    }
  }
  EXPECT_EQ(matrix[n], T{1e30f});  // between the rows
}

TEST(UpperRootTest, FactorsInPlaceWithAStride) {
  expect_root_in_place<double>(1e-13);
  expect_root_in_place<float>(2e-7);
}

TEST(UpperRootTest, RefusesMoreInflationThanAsked) {
  // R = [[0.8, 0.6], [0, 1]]: 1 / 0.8^2 = 1.5625 for the first column, 1 for the last.
  const auto accepts = [](auto one, double most_inflation) {
    std::vector<decltype(one)> matrix = {one, static_cast<decltype(one)>(0.6f), 0, one};
    return upper_root(matrix.data(), 2, 2, most_inflation);
  };
  for (const auto& [most, accepted] : {std::pair{1.56, false}, std::pair{1.57, true}}) {
    EXPECT_EQ(accepts(1.0, most), accepted);
    EXPECT_EQ(accepts(1.0f, most), accepted);
  }
}

}  // namespace
}  // namespace lcomp
