#include "forward/linear.h"

#include <gtest/gtest.h>

#include <cmath>

#include "forward/cpu_features.h"
#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/forward/decoder.h"
#include "support/matrices.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

struct Product {
  std::size_t rows, in, out;
  bool bias;
};

float rounded(float value, ComputeType compute) {
  return compute == ComputeType::bfloat16 ? bfloat16_to_float(float_to_bfloat16(value)) : value;
}

// Against the definition in double, on operands rounded as the compute type says. The error of a float32 sum of n
// products of size 1 is about sqrt(n) 2^-24.
void expect_product(const Product& p, ComputeType compute) {
  const Matrix x = testing::random_matrix(p.rows, p.in, 1), w = testing::random_matrix(p.out, p.in, 2);
  const Matrix b = testing::random_matrix(1, p.out, 3);
  MatrixMultiplier multiplier(compute);
  LinearWeight weight;
  multiplier.pack(w.view(), p.bias ? b.span() : std::span<const float>(), weight);
  EXPECT_EQ(weight.out_features(), p.out);
  EXPECT_EQ(weight.in_features(), p.in);
  Matrix y(p.rows, p.out);
  multiplier.multiply(x.view(), weight, y.view());
  const double tolerance = 4e-7 * static_cast<double>(p.in) + 1e-6;
  for (std::size_t i = 0; i < p.rows; ++i) {
    for (std::size_t o = 0; o < p.out; ++o) {
      double expected = p.bias ? b(0, o) : 0;
      for (std::size_t k = 0; k < p.in; ++k) {
        expected += static_cast<double>(rounded(x(i, k), compute)) * rounded(w(o, k), compute);
      }
      ASSERT_NEAR(y(i, o), expected, tolerance) << i << ", " << o;
    }
  }
}

struct LinearProduct : ::testing::TestWithParam<Product> {};

TEST_P(LinearProduct, Float32) { expect_product(GetParam(), ComputeType::float32); }

// oneDNN has these products with AVX-512 alone too (slowly), but on no other machine.
TEST_P(LinearProduct, Bfloat16) {
  if (!__builtin_cpu_supports("avx512bw")) GTEST_SKIP() << "the processor has no AVX-512";
  expect_product(GetParam(), ComputeType::bfloat16);
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearProduct,
                         ::testing::Values(Product{1, 1, 1, false}, Product{1, 3, 5, true}, Product{2, 48, 144, false},
                                           Product{3, 54, 137, true}, Product{5, 100, 64, false},
                                           Product{63, 64, 65, true}, Product{64, 33, 7, false},
                                           Product{65, 129, 200, true}, Product{200, 576, 80, false}),
                         [](const auto& param) {
                           const Product& p = param.param;
                           return std::to_string(p.rows) + "_" + std::to_string(p.in) + "_" + std::to_string(p.out);
                         });

TEST(MatrixMultiplier, AWeightIsWrittenOver) {
  MatrixMultiplier multiplier(ComputeType::float32);
  LinearWeight weight;
  const Matrix x = testing::random_matrix(3, 20, 1);
  for (const std::size_t out : {70, 10, 130}) {
    const Matrix w = testing::random_matrix(out, 20, out);
    multiplier.pack(w.view(), {}, weight);
    Matrix y(3, out);
    multiplier.multiply(x.view(), weight, y.view());
    double expected = 0;
    for (std::size_t k = 0; k < 20; ++k) expected += static_cast<double>(x(2, k)) * w(out - 1, k);
    EXPECT_NEAR(y(2, out - 1), expected, 1e-5);
  }
}

// The documented promise: the same bits for the same number of threads, rounding otherwise.
TEST(MatrixMultiplier, ThreadsChangeRoundingAtMost) {
  const Matrix x = testing::random_matrix(300, 256, 1), w = testing::random_matrix(200, 256, 2);
  MatrixMultiplier multiplier(ComputeType::float32);
  LinearWeight weight;
  multiplier.pack(w.view(), {}, weight);
  const std::size_t before = thread_count();
  Matrix one(300, 200), two(300, 200), again(300, 200);
  set_thread_count(1);
  multiplier.multiply(x.view(), weight, one.view());
  set_thread_count(2);
  multiplier.multiply(x.view(), weight, two.view());
  multiplier.multiply(x.view(), weight, again.view());
  EXPECT_EQ(thread_count(), 2u);
  set_thread_count(before);
  for (std::size_t i = 0; i < one.size(); ++i) {
    ASSERT_NEAR(one.span()[i], two.span()[i], 1e-4);
    ASSERT_EQ(two.span()[i], again.span()[i]);
  }
}

TEST(MatrixMultiplier, NoRowsAreNoWork) {
  MatrixMultiplier multiplier(ComputeType::float32);
  LinearWeight weight;
  multiplier.pack(testing::random_matrix(4, 8, 1).view(), {}, weight);
  Matrix x(0, 8), y(0, 4);
  multiplier.multiply(x.view(), weight, y.view());
}

TEST(ComputeTypes, Bfloat16IsRefusedWithoutTheHardware) {
  LCOMP_REQUIRE(testing::golden("families/llama2"));
  ModelFolder model = open_model(testing::golden("families/llama2"));
  if (bfloat16_supported()) {
    EXPECT_NO_THROW(Decoder(std::move(model), ComputeType::bfloat16));
    return;
  }
  try {
    Decoder(std::move(model), ComputeType::bfloat16);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::system);
    EXPECT_NE(std::string(error.what()).find("AVX512-BF16"), std::string::npos);
  }
}

}  // namespace
}  // namespace lcomp
