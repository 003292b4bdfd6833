#include "lcomp/formats/hadamard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/instruction_sets.h"
#include "lcomp/core/rng.h"
#include "support/matrices.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;
using ::testing::Pointwise;

// H_n as a dense matrix: the images of unit vectors are its columns.
Matrix dense_matrix(std::size_t n, HadamardProduct product = HadamardProduct::plain) {
  Matrix units(n, n);
  units.fill(0);
  for (std::size_t i = 0; i < n; ++i) units(i, i) = 1;
  hadamard_along_columns(units.view(), n, product);
  return units;
}

Matrix transposed(const Matrix& matrix) {
  Matrix out(matrix.cols(), matrix.rows());
  for (std::size_t i = 0; i < matrix.rows(); ++i) {
    for (std::size_t j = 0; j < matrix.cols(); ++j) out(j, i) = matrix(i, j);
  }
  return out;
}

const std::size_t orders[] = {1, 2, 4, 8, 16, 32, 64, 128, 12, 20, 28, 36, 24, 40, 48, 96, 144};

TEST(HadamardTest, ExamplesByHand) {
  Matrix row(1, 4);
  for (std::size_t j = 0; j < 4; ++j) row(0, j) = static_cast<float>(std::exp2(j));  // 1 2 4 8
  hadamard_along_rows(row.view(), 4, HadamardProduct::plain);
  // (1 + 2 + 4 + 8, 1 - 2 + 4 - 8, 1 + 2 - 4 - 8, 1 - 2 - 4 + 8) / 2
  EXPECT_THAT(row.span(), ElementsAre(7.5f, -2.5f, -4.5f, 1.5f));
  // The second row of P_12: -1, then 1 + Q_0j: 1 on the diagonal, and chi(-j) mod 11. The squares mod 11 are
  // 1 3 4 5 9, so that chi(-j) = -chi(j) is -1 for j = 1 3 4 5 9 and 1 for j = 2 6 7 8 10.
  const Matrix paley = dense_matrix(12);
  const float signs[] = {-1, 1, -1, 1, -1, -1, -1, 1, 1, 1, -1, 1};
  for (std::size_t j = 0; j < 12; ++j) EXPECT_FLOAT_EQ(paley(1, j), signs[j] / std::sqrt(12.0f)) << j;
}

TEST(HadamardTest, RowsAreOrthonormalAndHaveEqualMagnitudes) {
  for (const std::size_t n : orders) {
    const Matrix h = dense_matrix(n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < n; ++k) {
        double sum = 0;
        for (std::size_t j = 0; j < n; ++j) sum += static_cast<double>(h(i, j)) * static_cast<double>(h(k, j));
        ASSERT_NEAR(sum, i == k ? 1 : 0, 1e-6) << n << ": " << i << ", " << k;
        ASSERT_FLOAT_EQ(std::abs(h(i, k)), static_cast<float>(1 / std::sqrt(static_cast<double>(n))));
      }
    }
    EXPECT_TRUE(testing::same_bits(dense_matrix(n, HadamardProduct::transposed), transposed(h))) << n;
  }
}

TEST(HadamardTest, EqualsTheDenseProductAlongRowsAndColumns) {
  for (const std::size_t n : orders) {
    for (const HadamardProduct product : {HadamardProduct::plain, HadamardProduct::transposed}) {
      const Matrix h = dense_matrix(n, product);
      const Matrix before = testing::random_matrix(5, 3 * n, n);
      Matrix after = before.clone();
      hadamard_along_rows(after.view(), n, product);
      for (std::size_t i = 0; i < before.rows(); ++i) {
        for (std::size_t j = 0; j < before.cols(); ++j) {
          double sum = 0;
          for (std::size_t k = 0; k < n; ++k)
            sum += static_cast<double>(h(j % n, k)) * static_cast<double>(before(i, j - j % n + k));
          ASSERT_NEAR(after(i, j), sum, 2e-6) << n << ": " << i << ", " << j;
        }
      }
      Matrix columns = transposed(before);
      hadamard_along_columns(columns.view(), n, product);
      EXPECT_TRUE(testing::same_bits(columns, transposed(after))) << n;
    }
  }
}

TEST(HadamardTest, TheTransposedUndoesThePlain) {
  for (const std::size_t n : orders) {
    const Matrix before = testing::random_matrix(3, 2 * n, n);
    Matrix after = before.clone();
    hadamard_along_rows(after.view(), n, HadamardProduct::plain);
    hadamard_along_rows(after.view(), n, HadamardProduct::transposed);
    EXPECT_THAT(after.span(), Pointwise(::testing::FloatNear(2e-6f), before.span())) << n;
  }
}

TEST(HadamardTest, IsTheSameOnEveryInstructionSet) {
  for (const std::size_t n : orders) {
    const Matrix before = testing::random_matrix(2 * n, n, n);
    Matrix expected = before.clone();
    hadamard_along_rows(expected.view(), n, HadamardProduct::plain);
    hadamard_along_columns(expected.view(), n, HadamardProduct::transposed);
    testing::for_each_instruction_set([&](const char* target) {
      Matrix after = before.clone();
      hadamard_along_rows(after.view(), n, HadamardProduct::plain);
      hadamard_along_columns(after.view(), n, HadamardProduct::transposed);
      EXPECT_TRUE(testing::same_bits(after, expected)) << target << ", " << n;
    });
  }
}

TEST(HadamardTest, WorksOnViewsWithAStride) {
  const Matrix wide = testing::random_matrix(8, 100, 1);
  Matrix copy(8, 16);
  for (std::size_t i = 0; i < 8; ++i) std::copy_n(&wide(i, 50), 16, copy.row(i).data());
  Matrix in_place = wide.clone();
  hadamard_along_rows(in_place.view().cols_range(50, 16), 16, HadamardProduct::plain);
  hadamard_along_columns(in_place.view().cols_range(50, 16), 8, HadamardProduct::plain);
  hadamard_along_rows(copy.view(), 16, HadamardProduct::plain);
  hadamard_along_columns(copy.view(), 8, HadamardProduct::plain);
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t j = 0; j < 100; ++j) {
      EXPECT_EQ(in_place(i, j), j < 50 || j >= 66 ? wide(i, j) : copy(i, j - 50));
    }
  }
}

TEST(HadamardTest, KnowsItsOrders) {
  for (const std::size_t n : {1, 2, 1024, 12, 20, 28, 36, 576, 1536, 49152}) EXPECT_TRUE(is_hadamard_order(n)) << n;
  for (const std::size_t n : {0, 3, 6, 9, 18, 44, 60, 100, 577}) EXPECT_FALSE(is_hadamard_order(n)) << n;
}

TEST(HadamardTest, FindsTheLargestBlock) {
  EXPECT_EQ(largest_hadamard_block(576, 576, false), 64u);
  EXPECT_EQ(largest_hadamard_block(576, 576, true), 576u);
  EXPECT_EQ(largest_hadamard_block(576, 500, true), 288u);
  EXPECT_EQ(largest_hadamard_block(1536, 1536, false), 512u);
  EXPECT_EQ(largest_hadamard_block(1536, 100, false), 64u);
  EXPECT_EQ(largest_hadamard_block(1536, 4096, true), 1536u);
  EXPECT_EQ(largest_hadamard_block(77, 77, true), 1u);
  for (std::size_t dimension = 1; dimension < 200; ++dimension) {
    for (const std::size_t at_most : {1, 13, 36, 200}) {
      std::size_t largest = 1;
      for (std::size_t n = 1; n <= std::min(dimension, at_most); ++n) {
        if (dimension % n == 0 && is_hadamard_order(n)) largest = n;
      }
      EXPECT_EQ(largest_hadamard_block(dimension, at_most, true), largest) << dimension << ", " << at_most;
    }
  }
}

}  // namespace
}  // namespace lcomp
