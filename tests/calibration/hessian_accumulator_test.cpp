#include "lcomp/calibration/hessian_accumulator.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "support/matrices.h"
#include "tiny_model.h"

namespace lcomp {
namespace {

Matrix random_rows(std::size_t rows, std::size_t cols, std::uint64_t seed = 3) {
  return testing::random_matrix(rows, cols, seed);
}

bool equal(const Matrix& a, const Matrix& b) { return std::ranges::equal(a.span(), b.span()); }

// Columns that differ in size by six orders of magnitude and are strongly correlated: of a random walk over columns,
// with a mean far from 0.
Matrix ill_conditioned_rows(std::size_t rows, std::size_t cols, Rng& rng) {
  Matrix values(rows, cols);
  for (std::size_t t = 0; t < rows; ++t) {
    double walk = 3;
    for (std::size_t j = 0; j < cols; ++j) {
      walk += 0.1 * rng.normal();
      const double size = std::pow(10.0, -3.0 + 6.0 * static_cast<double>(j) / static_cast<double>(cols - 1));
      values(t, j) = static_cast<float>(size * walk);
    }
  }
  return values;
}

// Two tokens, two features: x = (1, 2), (3, -1). sum x x^T = [[10, -1], [-1, 5]]; H = 2/2 of it.
TEST(HessianAccumulator, ByHand) {
  Matrix rows(2, 2);
  rows(0, 0) = 1, rows(0, 1) = 2, rows(1, 0) = 3, rows(1, 1) = -1;
  HessianAccumulator sums(2);
  sums.add(rows.view());
  const Matrix h = sums.hessian();
  EXPECT_EQ(h(0, 0), 10);
  EXPECT_EQ(h(0, 1), -1);
  EXPECT_EQ(h(1, 0), -1);
  EXPECT_EQ(h(1, 1), 5);
  EXPECT_EQ(sums.tokens(), 2U);
}

TEST(HessianAccumulator, NoTokensGiveZeros) {
  HessianAccumulator sums(5);
  EXPECT_TRUE(std::ranges::all_of(sums.hessian().span(), [](float v) { return v == 0; }));
}

struct HessianOfSize : ::testing::TestWithParam<std::size_t> {};

// Every way of cutting columns into panels, with tokens that fill no buffer, one, and more than one.
TEST_P(HessianOfSize, MatchesDouble) {
  const std::size_t n = GetParam();
  for (const std::size_t tokens : {std::size_t{1}, std::size_t{700}, std::size_t{2500}}) {
    const Matrix rows = random_rows(tokens, n);
    HessianAccumulator sums(n);
    sums.add(rows.view());
    testing::ExactStatistics exact;
    exact.add(rows.view());
    // Random signs: the error of a float32 sum of 2048 products is about sqrt(2048) / 2048 of 2^-24 sqrt(H_ii H_jj) a
    // step, and the last rounding 2^-24.
    EXPECT_LT(testing::hessian_error(sums.hessian().view(), exact), 1e-6) << tokens << " tokens";
  }
}
INSTANTIATE_TEST_SUITE_P(Sizes, HessianOfSize, ::testing::Values(1, 15, 16, 17, 54, 96, 97, 200, 577));

TEST(HessianAccumulator, DivisionIntoCallsDoesNotMatter) {
  const Matrix rows = random_rows(5000, 120);
  HessianAccumulator whole(120), parts(120);
  whole.add(rows.view());
  Rng rng(9);
  for (std::size_t begin = 0; begin < rows.rows();) {
    const std::size_t count = std::min<std::size_t>(rng.below(600), rows.rows() - begin);
    parts.add(rows.view().rows_range(begin, count));
    begin += count;
  }
  EXPECT_TRUE(equal(whole.hessian(), parts.hessian()));
}

TEST(HessianAccumulator, StridedInput) {
  const Matrix wide = random_rows(100, 90);
  Matrix narrow(100, 40);
  for (std::size_t i = 0; i < 100; ++i) std::copy_n(wide.row(i).data() + 7, 40, narrow.row(i).data());
  HessianAccumulator a(40), b(40);
  a.add(wide.view().cols_range(7, 40));
  b.add(narrow.view());
  EXPECT_TRUE(equal(a.hessian(), b.hessian()));
}

TEST(HessianAccumulator, ThreadCountDoesNotMatter) {
  const std::size_t before = thread_count();
  for (const std::size_t n : {std::size_t{40}, std::size_t{400}}) {
    const Matrix rows = random_rows(3000, n);
    std::vector<Matrix> hessians;
    for (const std::size_t threads : {1, 2, 3, 4}) {
      set_thread_count(threads);
      HessianAccumulator sums(n);
      sums.add(rows.view());
      hessians.push_back(sums.hessian());
    }
    for (const Matrix& h : hessians) EXPECT_TRUE(equal(h, hessians.front())) << n;
  }
  set_thread_count(before);
}

TEST(HessianAccumulator, LowerTriangleIsTheMatrix) {
  const Matrix rows = random_rows(50, 130);
  HessianAccumulator sums(130);
  sums.add(rows.view());
  std::vector<float> triangle(HessianAccumulator::triangle_size(130));
  sums.lower_triangle(triangle);
  const Matrix h = sums.hessian();
  for (std::size_t i = 0; i < 130; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      EXPECT_EQ(h(i, j), triangle[i * (i + 1) / 2 + j]);
      EXPECT_EQ(h(j, i), h(i, j));
    }
  }
}

// 10^6 tokens, all products of the same sign: the worst case for float32 sums. A plain float32 sum is off by 1e-3 here
// (checked below, so that the bound is known to mean something).
TEST(SlowHessianAccumulator, AMillionTokensLoseNothing) {
  constexpr std::size_t n = 32, chunk = 10000, chunks = 100;
  HessianAccumulator sums(n);
  testing::ExactStatistics exact;
  float plain = 0;
  Rng rng(5);
  for (std::size_t c = 0; c < chunks; ++c) {
    const Matrix rows = ill_conditioned_rows(chunk, n, rng);
    sums.add(rows.view());
    exact.add(rows.view());
    for (std::size_t t = 0; t < chunk; ++t) plain += rows(t, 0) * rows(t, 0);
  }
  const double plain_error = std::abs(static_cast<double>(plain) / exact.products[0] - 1);
  EXPECT_GT(plain_error, 1e-6);  // a sum in float32 misses the bound below
  const double error = testing::hessian_error(sums.hessian().view(), exact);
  RecordProperty("relative_error", std::to_string(error));
  EXPECT_LT(error, 2e-7);
}

}  // namespace
}  // namespace lcomp
