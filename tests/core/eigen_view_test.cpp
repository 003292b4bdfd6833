#include "lcomp/core/eigen_view.h"

#include <gtest/gtest.h>

#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace lcomp {
namespace {

template <typename T>
concept Mappable = requires(T&& values) {
  as_eigen(std::forward<T>(values));
};

static_assert(Mappable<ConstMatrixView> && Mappable<std::span<double>> && Mappable<const std::vector<float>&>);
static_assert(!Mappable<std::vector<float>>, "a map of a temporary would outlive its memory");
static_assert(!Mappable<MatrixView<int>> && !Mappable<std::span<const int>>);
static_assert(std::is_same_v<decltype(as_eigen(ConstMatrixView()).data()), const float*>, "const data stays const");
static_assert(std::is_same_v<decltype(as_eigen(std::span<const double>()).data()), const double*>);
static_assert(decltype(as_eigen(ConstMatrixView()))::IsRowMajor);

// [3, 4]: 0 1 2 3 / 4 5 6 7 / 8 9 10 11
Matrix three_by_four() {
  Matrix values(3, 4);
  for (std::size_t i = 0; i < values.size(); ++i) values.data()[i] = static_cast<float>(i);
  return values;
}

TEST(EigenView, MapsWithoutACopy) {
  Matrix values = three_by_four();
  EXPECT_EQ(as_eigen(values.view()).data(), values.data());
  EXPECT_EQ(as_eigen(values.row(1)).data(), values.data() + 4);
  as_eigen(values.view()) *= 2;
  EXPECT_EQ(values(2, 3), 22);
  std::vector<double> weights = {1, 2, 3};
  EXPECT_EQ(as_eigen(weights).data(), weights.data());
  as_eigen(weights)[1] = 7;
  EXPECT_EQ(weights[1], 7);
}

TEST(EigenView, KeepsTheStride) {
  Matrix values = three_by_four();
  const MatrixView<float> part = values.view().rows_range(1, 2).cols_range(1, 2);  // 5 6 / 9 10
  const auto map = as_eigen(part);
  EXPECT_EQ(map.data(), values.data() + 5);
  EXPECT_EQ(map.outerStride(), 4);
  EXPECT_EQ(map.rows(), 2);
  EXPECT_EQ(map.cols(), 2);
  EXPECT_EQ(map(1, 0), 9);
  EXPECT_EQ(map.cast<double>().sum(), 30);
  as_eigen(part).setZero();
  EXPECT_EQ(values(2, 2), 0);
  EXPECT_EQ(values(1, 3), 7) << "what lies between the rows of a part isn't touched";
}

TEST(EigenView, MayBeEmpty) {
  EXPECT_EQ(as_eigen(ConstMatrixView()).size(), 0);
  const Matrix none(3, 0);
  EXPECT_EQ(as_eigen(none.view()).rows(), 3);
  EXPECT_EQ(as_eigen(none.view()).cast<double>().sum(), 0);
  EXPECT_EQ(as_eigen(std::span<const float>()).cast<double>().sum(), 0);
}

// Bytes of models rest on it. In float 2^24 + 1 - 2^24 would be 0; (1 + 2^53) - 2^53 + 1 is 1 in this order, 2 in
// others.
TEST(EigenView, SumsOfConvertedValuesAreThoseOfALoop) {
  const std::vector<float> values = {0x1p24F, 1, -0x1p24F};
  EXPECT_EQ(as_eigen(values).cast<double>().sum(), 1);
  const std::vector<float> large = {1, 0x1p53F, -0x1p53F, 0, 1, 0, 0, 0};
  EXPECT_EQ(as_eigen(large).cast<double>().sum(), 1);
}

}  // namespace
}  // namespace lcomp
