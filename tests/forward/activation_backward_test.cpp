// The activations' gradients against differences of the activations written out in double.
#include "forward/activation_backward.h"

#include <gtest/gtest.h>

#include <numbers>

#include "finite_differences.h"
#include "forward/activation.h"

namespace lcomp {
namespace {

using testing::finite_differences;
using testing::normal_matrix;
using testing::relative_error;

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu_tanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::gelu_erf:
      break;
  }
  return x / 2 * (1 + std::erf(x / std::numbers::sqrt2));
}

double slope(Activation activation, double x) {
  return finite_differences([&](std::span<const double> at) { return activate(activation, at[0]); }, {x})[0];
}

class ActivationBackward : public ::testing::TestWithParam<Activation> {};

TEST_P(ActivationBackward, SlopesFromMinusTwentyToTwenty) {
  constexpr std::size_t points = 1601;
  Matrix in(1, points), ones(1, points), gradient(1, points);
  ones.fill(1);
  for (std::size_t i = 0; i < points; ++i) in(0, i) = static_cast<float>(i) * 0.025f - 20;
  activation_backward(GetParam(), in.view(), ones.view(), gradient.view());
  for (std::size_t i = 0; i < points; ++i) {
    // An ulp of x moves the argument of the exponential: the error grows with x as far as the slope is not yet 0 or 1.
    ASSERT_NEAR(gradient(0, i), slope(GetParam(), in(0, i)), 1e-6) << in(0, i);
  }
}

TEST_P(ActivationBackward, FarOutTheSlopeIsZeroOrOne) {
  for (const float x : {30.0f, 1e3f, 1e10f, 1e20f, 1e38f}) {
    Matrix in(1, 2), ones(1, 2), gradient(1, 2);
    in(0, 0) = x;
    in(0, 1) = -x;
    ones.fill(1);
    activation_backward(GetParam(), in.view(), ones.view(), gradient.view());
    EXPECT_EQ(gradient(0, 0), 1.0f) << x;
    EXPECT_NEAR(gradient(0, 1), 0.0f, x > 1e30f ? 50 : 1e-10f) << x;
  }
}

// Widths that do and do not fill vectors; in new memory and over the input.
TEST_P(ActivationBackward, GatedEqualsFiniteDifferences) {
  for (const std::size_t width : {1, 7, 16, 53}) {
    constexpr std::size_t rows = 3;
    Matrix gate_up = normal_matrix(rows, 2 * width, 1, 2);
    const Matrix dy = normal_matrix(rows, width, 2);
    Matrix gradient(rows, 2 * width);
    gated_activation_backward(GetParam(), gate_up.view(), dy.view(), gradient.view());
    std::vector<double> expected(2 * rows * width);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < width; ++i) {
        const double gate = gate_up(r, i), up = gate_up(r, width + i), update = dy(r, i);
        expected[r * 2 * width + i] = update * up * slope(GetParam(), gate);
        expected[r * 2 * width + width + i] = update * activate(GetParam(), gate);
      }
    }
    EXPECT_LT(relative_error(gradient.span(), expected), 1e-6) << width;
    gated_activation_backward(GetParam(), gate_up.view(), dy.view(), gate_up.view());
    EXPECT_TRUE(std::equal(gradient.span().begin(), gradient.span().end(), gate_up.span().begin())) << width;
  }
}

// The up half of the gradient is act(gate) dy: what the forward pass computes with dy in place of up.
TEST_P(ActivationBackward, UpGradientIsTheForwardPassOfTheGate) {
  constexpr std::size_t width = 53;
  const Matrix gate_up = normal_matrix(1, 2 * width, 3, 2), dy = normal_matrix(1, width, 4);
  Matrix gate_dy = gate_up.clone(), forward(1, width), gradient(1, 2 * width);
  std::copy(dy.span().begin(), dy.span().end(), gate_dy.data() + width);
  gated_activation(GetParam(), gate_dy.view(), forward.view());
  gated_activation_backward(GetParam(), gate_up.view(), dy.view(), gradient.view());
  for (std::size_t i = 0; i < width; ++i) EXPECT_NEAR(gradient(0, width + i), forward(0, i), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ActivationBackward,
                         ::testing::Values(Activation::silu, Activation::gelu_tanh, Activation::gelu_erf),
                         [](const auto& param) {
                           switch (param.param) {
                             case Activation::silu:
                               return "silu";
                             case Activation::gelu_tanh:
                               return "gelu_tanh";
                             case Activation::gelu_erf:
                               break;
                           }
                           return "gelu_erf";
                         });

TEST(SoftcapBackward, EqualsFiniteDifferences) {
  constexpr float cap = 5;
  const Matrix in = normal_matrix(3, 37, 5, 6), dy = normal_matrix(3, 37, 6);
  Matrix capped = in.clone(), gradient = dy.clone();
  apply_softcap(cap, capped.view());
  softcap_backward(cap, capped.view(), gradient.view());
  std::vector<double> expected;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const auto f = [](std::span<const double> at) { return cap * std::tanh(at[0] / cap); };
    expected.push_back(dy.span()[i] * finite_differences(f, {in.span()[i]})[0]);
  }
  EXPECT_LT(relative_error(gradient.span(), expected), 1e-6);
}

}  // namespace
}  // namespace lcomp
