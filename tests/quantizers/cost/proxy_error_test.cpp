#include "lcomp/quantizers/cost/proxy_error.h"

#include <gtest/gtest.h>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "quantizers/correlated_layer.h"

namespace lcomp {
namespace {

using testing::correlated_layer;

TEST(ProxyErrorTest, ExampleByHand) {
  // e = (1, -2), H = [[3, 1], [1, 5]]: 3 + 2 * 1 * (-2) * 1 + 5 * 4 = 19
  Matrix weight(1, 2), decoded(1, 2), hessian(2, 2);
  weight(0, 0) = 4, weight(0, 1) = 1;
  decoded(0, 0) = 3, decoded(0, 1) = 3;
  hessian(0, 0) = 3, hessian(0, 1) = hessian(1, 0) = 1, hessian(1, 1) = 5;
  EXPECT_DOUBLE_EQ(proxy_error(weight.view(), decoded.view(), hessian.view()), 19);
  EXPECT_EQ(proxy_error(weight.view(), weight.view(), hessian.view()), 0);
}

TEST(ProxyErrorTest, EqualsItsDefinitionOnAnyShapeAndNumberOfThreads) {
  for (const std::size_t cols : {1, 33, 256, 300, 513}) {
    for (const std::size_t rows : {1, 5, 256, 300}) {
      const auto layer = correlated_layer(rows, cols, rows + cols, 40);
      const Matrix decoded = correlated_layer(rows, cols, 7 * rows + cols, 1).weight;
      double expected = 0;
      for (std::size_t r = 0; r < rows; ++r) {
        const auto error = [&](std::size_t j) {
          return static_cast<double>(layer.weight(r, j)) - static_cast<double>(decoded(r, j));
        };
        for (std::size_t i = 0; i < cols; ++i) {
          double sum = 0;
          for (std::size_t j = 0; j < cols; ++j) sum += static_cast<double>(layer.hessian(i, j)) * error(j);
          expected += error(i) * sum;
        }
      }
      const std::size_t threads = thread_count();
      set_thread_count(1);
      const double one = proxy_error(layer.weight.view(), decoded.view(), layer.hessian.view());
      set_thread_count(3);
      const double three = proxy_error(layer.weight.view(), decoded.view(), layer.hessian.view());
      set_thread_count(threads);
      EXPECT_EQ(one, three);
      EXPECT_NEAR(one, expected, 1e-11 * expected) << rows << " x " << cols;
    }
  }
}

TEST(ProxyErrorTest, RefusesShapesThatDoNotFit) {
  const Matrix a(3, 4), b(3, 5), h(4, 4), g(5, 4);
  EXPECT_THROW(proxy_error(a.view(), b.view(), h.view()), Error);
  EXPECT_THROW(proxy_error(a.view(), a.view(), g.view()), Error);
  EXPECT_THROW(proxy_error(b.view(), b.view(), h.view()), Error);
}

}  // namespace
}  // namespace lcomp
