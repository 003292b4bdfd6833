// Turning a gradient back through the rotary embedding.
#include <gtest/gtest.h>

#include <cmath>

#include "finite_differences.h"
#include "forward/rope.h"

namespace lcomp {
namespace {

using testing::normal_matrix;

RopeConfig make_rope(std::size_t rotary_dim, double attention_factor) {
  RopeConfig config;
  config.rotary_dim = rotary_dim;
  config.attention_factor = attention_factor;
  return config;
}

// <rotate(x), g> = <x, rotate_back(g)>: the definition of the transpose, which is the gradient of a linear map.
TEST(RopeBackward, IsTheTransposeOfRotate) {
  for (const std::size_t rotary_dim : {2, 8, 20, 64}) {
    for (const double factor : {1.0, 1.19}) {
      RopeTable rope(make_rope(rotary_dim, factor), false);
      rope.extend(1000);
      for (const std::size_t position : {0, 1, 37, 999}) {
        Matrix x = normal_matrix(1, rotary_dim, position), g = normal_matrix(1, rotary_dim, position + 1);
        const Matrix x_before = x.clone(), g_before = g.clone();
        rope.rotate(position, x.data());
        rope.rotate_back(position, g.data());
        double forward = 0, backward = 0, size = 0;
        for (std::size_t i = 0; i < rotary_dim; ++i) {
          forward += static_cast<double>(x(0, i)) * g_before(0, i);
          backward += static_cast<double>(x_before(0, i)) * g(0, i);
          size += std::abs(static_cast<double>(x(0, i)) * g_before(0, i));
        }
        EXPECT_NEAR(forward, backward, 1e-6 * size) << rotary_dim << " at " << position;
      }
    }
  }
}

TEST(RopeBackward, UndoesRotateTimesTheFactorSquared) {
  RopeTable rope(make_rope(20, 1.5), false);
  rope.extend(8);
  Matrix x = normal_matrix(1, 24, 1);  // the last four are not rotated
  const Matrix before = x.clone();
  rope.rotate(7, x.data());
  EXPECT_GT(std::abs(x(0, 0) - before(0, 0)), 0.01);
  rope.rotate_back(7, x.data());
  for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(x(0, i), 2.25 * before(0, i), 1e-5);
  for (std::size_t i = 20; i < 24; ++i) EXPECT_EQ(x(0, i), before(0, i));
}

}  // namespace
}  // namespace lcomp
