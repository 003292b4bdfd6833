#include "lcomp/core/matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace lcomp {
namespace {

using ::testing::ElementsAre;

static_assert(std::is_convertible_v<MatrixView<float>, ConstMatrixView>);
static_assert(!std::is_convertible_v<ConstMatrixView, MatrixView<float>>);
static_assert(!std::is_constructible_v<MatrixView<float>, ConstMatrixView>);
static_assert(!std::is_copy_constructible_v<Matrix> && std::is_nothrow_move_constructible_v<Matrix>);

// [3, 4]: 0 1 2 3 / 4 5 6 7 / 8 9 10 11
std::vector<float> twelve() {
  std::vector<float> values(12);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return values;
}

TEST(MatrixView, IsRowMajor) {
  std::vector<float> values = twelve();
  const MatrixView<float> view(values.data(), 3, 4);
  EXPECT_EQ(view(0, 3), 3);
  EXPECT_EQ(view(2, 1), 9);
  EXPECT_THAT(view.row(1), ElementsAre(4, 5, 6, 7));
  view(1, 1) = 50;
  EXPECT_EQ(values[5], 50);
  EXPECT_EQ(view.size(), 12u);
  EXPECT_TRUE(view.contiguous());
}

TEST(MatrixView, PartsKeepTheStride) {
  std::vector<float> values = twelve();
  const MatrixView<float> view(values.data(), 3, 4);
  const ConstMatrixView part = view.rows_range(1, 2).cols_range(2, 2);  // 6 7 / 10 11
  EXPECT_EQ(part.rows(), 2u);
  EXPECT_EQ(part.cols(), 2u);
  EXPECT_EQ(part.stride(), 4u);
  EXPECT_THAT(part.row(0), ElementsAre(6, 7));
  EXPECT_EQ(part(1, 0), 10);
  EXPECT_FALSE(part.contiguous());
  EXPECT_TRUE(part.rows_range(0, 1).contiguous());
  EXPECT_EQ(view.rows_range(3, 0).size(), 0u);
  EXPECT_EQ(view.cols_range(4, 0).size(), 0u);
}

TEST(Matrix, OwnsAlignedMemory) {
  for (const std::size_t cols : {1u, 3u, 17u}) {
    Matrix matrix(5, cols);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(matrix.data()) % 64, 0u);
    matrix.fill(2);
    for (const float value : matrix.span()) EXPECT_EQ(value, 2);
    matrix(4, cols - 1) = 3;
    EXPECT_EQ(matrix.row(4)[cols - 1], 3);
  }
}

TEST(Matrix, MovesAndClones) {
  Matrix matrix(2, 2);
  matrix.fill(1);
  Matrix copy = matrix.clone();
  copy(0, 0) = 7;
  EXPECT_EQ(matrix(0, 0), 1);
  const float* data = copy.data();
  const Matrix moved = std::move(copy);
  EXPECT_EQ(moved.data(), data);
  EXPECT_THAT(moved.span(), ElementsAre(7, 1, 1, 1));
}

TEST(Matrix, MayBeEmpty) {
  const Matrix none;
  EXPECT_TRUE(none.empty());
  const Matrix flat(3, 0);
  EXPECT_TRUE(flat.empty());
  EXPECT_EQ(flat.rows(), 3u);
  EXPECT_EQ(flat.clone().rows(), 3u);
  EXPECT_TRUE(flat.row(2).empty());
}

TEST(AlignedBuffer, RefusesSizesThatNoMemoryHas) {
  EXPECT_THROW(AlignedBuffer<double>(static_cast<std::size_t>(-1)), std::bad_alloc);
  EXPECT_THROW(AlignedBuffer<double>(static_cast<std::size_t>(-1) / 8), std::bad_alloc);
}

}  // namespace
}  // namespace lcomp
