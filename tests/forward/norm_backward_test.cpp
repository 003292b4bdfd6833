// The norms' gradients against differences of the norms written out in double.
#include "forward/norm_backward.h"

#include <gtest/gtest.h>

#include "finite_differences.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

using testing::finite_differences;
using testing::normal_matrix;
using testing::relative_error;
using testing::to_doubles;

constexpr double epsilon = 1e-3;  // large enough to matter

NormWeights make_weights(NormKind kind, std::size_t width) {
  NormWeights weights;
  weights.gain = AlignedBuffer<float>(width);
  Rng rng(width);
  for (float& v : weights.gain.span()) v = static_cast<float>(1 + 0.5 * rng.normal());
  if (kind == NormKind::layer) {
    weights.bias = AlignedBuffer<float>(width);
    for (float& v : weights.bias.span()) v = static_cast<float>(rng.normal());
  }
  return weights;
}

// sum_i dy_i norm(in)_i of one row; `parameters` is [in | gain | bias].
double cost_of_row(NormKind kind, std::span<const double> parameters, std::span<const float> out_gradient) {
  const std::size_t width = out_gradient.size();
  const auto in = parameters.first(width), gain = parameters.subspan(width, width);
  double mean = 0, squares = 0, cost = 0;
  if (kind == NormKind::layer) {
    for (const double v : in) mean += v / static_cast<double>(width);
  }
  for (const double v : in) squares += (v - mean) * (v - mean) / static_cast<double>(width);
  for (std::size_t i = 0; i < width; ++i) {
    double y = (in[i] - mean) / std::sqrt(squares + epsilon) * gain[i];
    if (kind == NormKind::layer) y += parameters[2 * width + i];
    cost += y * static_cast<double>(out_gradient[i]);
  }
  return cost;
}

class NormBackward : public ::testing::TestWithParam<NormKind> {};

TEST_P(NormBackward, EqualsFiniteDifferences) {
  const NormKind kind = GetParam();
  for (const std::size_t width : {1, 5, 16, 37}) {
    constexpr std::size_t rows = 3;
    const NormWeights weights = make_weights(kind, width);
    const Matrix in = normal_matrix(rows, width, 1, 0.3), dy = normal_matrix(rows, width, 2);
    Matrix dx(rows, width);
    std::vector<double> gain(width), bias(kind == NormKind::layer ? width : 0);
    normalize_backward(kind, epsilon, weights, in.view(), dy.view(), dx.view(), gain, bias);

    std::vector<double> expected_gain(width), expected_bias(width);
    std::vector<double> expected;  // dx of all rows: one row alone may have a gradient near 0 (width 1)
    for (std::size_t r = 0; r < rows; ++r) {
      std::vector<double> parameters = to_doubles(in.row(r));
      for (const float v : weights.gain.span()) parameters.push_back(v);
      for (const float v : weights.bias.span()) parameters.push_back(v);
      const auto gradient = finite_differences(
          [&](std::span<const double> p) { return cost_of_row(kind, p, dy.row(r)); }, parameters, 1e-4);
      expected.insert(expected.end(), gradient.begin(), gradient.begin() + static_cast<std::ptrdiff_t>(width));
      for (std::size_t i = 0; i < width; ++i) {
        expected_gain[i] += gradient[width + i];
        if (kind == NormKind::layer) expected_bias[i] += gradient[2 * width + i];
      }
    }
    // The layer norm of a single value is its bias: the gradient is 0, and so are its differences, but for rounding.
    if (kind == NormKind::layer && width == 1) {
      for (const float v : dx.span()) EXPECT_NEAR(v, 0.0f, 1e-5f);
      continue;
    }
    EXPECT_LT(relative_error(dx.span(), expected), 3e-6) << width;
    EXPECT_LT(relative_error(std::span<double>(gain), expected_gain), 1e-6) << width;
    if (kind == NormKind::layer) {
      EXPECT_LT(relative_error(std::span<double>(bias), expected_bias), 1e-8) << width;
    }
  }
}

// y = x r g: with x = (3, 4), epsilon 0: mean square 12.5. dy = (1, 0), g = 1: dx = r (1 - 3 * 3 / 25, -3 * 4 / 25).
TEST(NormBackwardByHand, TwoValues) {
  NormWeights weights;
  weights.gain = AlignedBuffer<float>(2);
  weights.gain[0] = weights.gain[1] = 1;
  const float x[] = {3, 4}, dy[] = {1, 0};
  float dx[2];
  double gain[] = {10, 20};
  normalize_row_backward(NormKind::rms, 0, weights, x, dy, dx, gain, nullptr, 2);
  const double r = 1 / std::sqrt(12.5);
  EXPECT_NEAR(dx[0], r * 16 / 25, 1e-7);
  EXPECT_NEAR(dx[1], -r * 12 / 25, 1e-7);
  EXPECT_NEAR(gain[0], 10 + 3 * r, 1e-6) << "added to";
  EXPECT_EQ(gain[1], 20);
}

// The gradient of a cost that ignores scale is at a right angle to the input (epsilon 0), whatever the width.
TEST(NormBackwardByHand, NoGradientAlongTheInput) {
  constexpr std::size_t width = 576;
  const NormWeights weights = make_weights(NormKind::rms, width);
  const Matrix in = normal_matrix(1, width, 3), dy = normal_matrix(1, width, 4);
  Matrix dx(1, width);
  normalize_backward(NormKind::rms, 0, weights, in.view(), dy.view(), dx.view(), {}, {});
  double along = 0, size = 0;
  for (std::size_t i = 0; i < width; ++i) {
    along += static_cast<double>(in(0, i)) * dx(0, i);
    size += std::abs(static_cast<double>(in(0, i)) * dx(0, i));
  }
  EXPECT_LT(std::abs(along), 1e-6 * size);
}

TEST_P(NormBackward, InPlaceAndThreadsChangeNoBit) {
  const NormKind kind = GetParam();
  constexpr std::size_t rows = 700, width = 37;
  const NormWeights weights = make_weights(kind, width);
  const Matrix in = normal_matrix(rows, width, 5), dy = normal_matrix(rows, width, 6);
  const auto run = [&](std::size_t threads, MatrixView<float> gradient, ConstMatrixView out_gradient) {
    std::vector<double> sums(2 * width);
    const std::size_t before = thread_count();
    set_thread_count(threads);
    normalize_backward(kind, epsilon, weights, in.view(), out_gradient, gradient, std::span(sums).first(width),
                       std::span(sums).last(width));
    set_thread_count(before);
    return sums;
  };
  Matrix one(rows, width), three = dy.clone();
  const auto first = run(1, one.view(), dy.view());
  const auto second = run(3, three.view(), three.view());
  EXPECT_EQ(first, second);
  EXPECT_TRUE(std::equal(one.span().begin(), one.span().end(), three.span().begin()));
  double total = 0;  // of the bias gradient: all of dy
  for (const float v : dy.span()) total += v;
  double found = 0;
  for (std::size_t i = 0; i < width; ++i) found += first[width + i];
  EXPECT_NEAR(found, total, 1e-9);
}

INSTANTIATE_TEST_SUITE_P(Kinds, NormBackward, ::testing::Values(NormKind::rms, NormKind::rms_plus_one, NormKind::layer),
                         [](const auto& param) {
                           switch (param.param) {
                             case NormKind::rms:
                               return "rms";
                             case NormKind::rms_plus_one:
                               return "rms_plus_one";
                             case NormKind::layer:
                               break;
                           }
                           return "layer";
                         });

}  // namespace
}  // namespace lcomp
