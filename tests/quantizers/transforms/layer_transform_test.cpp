#include "lcomp/quantizers/transforms/layer_transform.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "core/instruction_sets.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/hadamard.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "quantizers/correlated_layer.h"

namespace lcomp {
namespace {

using testing::correlated_layer;
using testing::CorrelatedLayer;

LayerTransform every_transform(std::size_t rows, std::size_t cols, bool paley) {
  RotationOptions options;
  options.outputs = true;
  options.paley = paley;
  LayerTransform transform = make_rotation(options, rows, cols);
  for (std::size_t j = 0; j < cols; ++j) {
    const double scale = std::exp(0.5 * std::sin(static_cast<double>(j)));
    transform.input_scales.push_back(half_to_float(float_to_half(static_cast<float>(scale))));
  }
  return transform;
}

// T [cols, cols] and H_out S_out [rows, rows] as dense matrices of doubles, from their definitions.
struct DenseTransform {
  std::vector<double> of_inputs, of_outputs;
};

std::vector<double> dense_rotation(std::size_t block, const std::vector<float>& signs, std::size_t size) {
  std::vector<double> out(size * size, 0.0);
  if (block == 0) {
    for (std::size_t i = 0; i < size; ++i) out[i * size + i] = 1;
    return out;
  }
  Matrix h(block, block);
  h.fill(0);
  for (std::size_t i = 0; i < block; ++i) h(i, i) = 1;
  hadamard_along_columns(h.view(), block, HadamardProduct::plain);
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = i / block * block; j < (i / block + 1) * block; ++j) {
      out[i * size + j] = static_cast<double>(h(i % block, j % block) * signs[j]);
    }
  }
  return out;
}

DenseTransform dense(const LayerTransform& transform, std::size_t rows, std::size_t cols) {
  DenseTransform out{dense_rotation(transform.input_block, transform.input_signs, cols),
                     dense_rotation(transform.output_block, transform.output_signs, rows)};
  for (std::size_t k = 0; k < out.of_inputs.size() && !transform.input_scales.empty(); ++k) {
    out.of_inputs[k] *= static_cast<double>(transform.input_scales[k % cols]);
  }
  return out;
}

// a [n, m] times b [m, k]; b transposed when it is [k, m].
std::vector<double> product(const std::vector<double>& a, const std::vector<double>& b, std::size_t m,
                            bool b_transposed = false) {
  const std::size_t n = a.size() / m;
  const std::size_t k = b.size() / m;
  std::vector<double> out(n * k, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < k; ++j) {
      for (std::size_t l = 0; l < m; ++l) out[i * k + j] += a[i * m + l] * (b_transposed ? b[j * m + l] : b[l * k + j]);
    }
  }
  return out;
}

std::vector<double> as_doubles(const Matrix& matrix) { return {matrix.span().begin(), matrix.span().end()}; }

struct HadamardCase {
  std::size_t rows, cols;
  bool paley;
};
const HadamardCase hadamard_cases[] = {{24, 96, false}, {24, 96, true}, {7, 33, true}, {20, 70, false}};

TEST(LayerTransformTest, WeightTimesTransformIsTheRotatedWeight) {
  // W' T = H_out S_out W
  for (const HadamardCase& c : hadamard_cases) {
    const CorrelatedLayer layer = correlated_layer(c.rows, c.cols, 1, 10);
    const LayerTransform transform = every_transform(c.rows, c.cols, c.paley);
    const DenseTransform matrices = dense(transform, c.rows, c.cols);
    const auto left = product(as_doubles(transform_weight(layer.weight.view(), transform)), matrices.of_inputs, c.cols);
    const auto right = product(matrices.of_outputs, as_doubles(layer.weight), c.rows);
    for (std::size_t k = 0; k < left.size(); ++k) ASSERT_NEAR(left[k], right[k], 1e-6) << k;
  }
}

TEST(LayerTransformTest, TheHessianIsTheDenseProduct) {
  for (const HadamardCase& c : hadamard_cases) {
    const CorrelatedLayer layer = correlated_layer(1, c.cols, 2, 50);
    const LayerTransform transform = every_transform(c.rows, c.cols, c.paley);
    const std::vector<double> t = dense(transform, c.rows, c.cols).of_inputs;
    const auto expected = product(product(t, as_doubles(layer.hessian), c.cols), t, c.cols, true);
    const Matrix hessian = transform_hessian(layer.hessian.view(), transform);
    for (std::size_t i = 0; i < c.cols; ++i) {
      for (std::size_t j = 0; j < c.cols; ++j) {
        ASSERT_NEAR(hessian(i, j), expected[i * c.cols + j], 2e-5) << i << ", " << j;
        ASSERT_EQ(hessian(i, j), hessian(j, i));
      }
    }
    std::vector<float> x(c.cols);
    for (std::size_t j = 0; j < c.cols; ++j) x[j] = layer.hessian(0, j);
    const auto expected_x = product(t, {x.begin(), x.end()}, c.cols);
    const auto transformed_x = transform_input(x, transform);
    for (std::size_t j = 0; j < c.cols; ++j) ASSERT_NEAR(transformed_x[j], expected_x[j], 1e-5);
  }
}

TEST(LayerTransformTest, KeepsTheProxyErrorOfAnyRounding) {
  // |(W - W^) x| = |(W' - W^') x'|, since H_out S_out is orthogonal.
  const CorrelatedLayer layer = correlated_layer(24, 96, 3);
  for (const bool paley : {false, true}) {
    const LayerTransform transform = every_transform(24, 96, paley);
    const Matrix transformed = transform_weight(layer.weight.view(), transform);
    const CompressedWeight base = encode_dense(transformed.view(), DenseType::bf16, "w");
    const double inside =
        proxy_error(transformed.view(), decode(base).view(), transform_hessian(layer.hessian.view(), transform).view());
    const CompressedWeight stored = undo_on_decoding(base, transform);
    EXPECT_NEAR(proxy_error(layer.weight.view(), decode(stored).view(), layer.hessian.view()), inside, 1e-3 * inside);
  }
}

TEST(LayerTransformTest, IsTheSameOnAnyNumberOfThreadsAndInstructionSet) {
  const CorrelatedLayer layer = correlated_layer(64, 320, 4, 10);
  const LayerTransform transform = every_transform(64, 320, true);
  const Matrix weight = transform_weight(layer.weight.view(), transform);
  const Matrix hessian = transform_hessian(layer.hessian.view(), transform);
  const auto check = [&](const std::string& what) {
    const Matrix weight_again = transform_weight(layer.weight.view(), transform);
    const Matrix hessian_again = transform_hessian(layer.hessian.view(), transform);
    EXPECT_EQ(std::memcmp(weight.data(), weight_again.data(), weight.size() * sizeof(float)), 0) << what;
    EXPECT_EQ(std::memcmp(hessian.data(), hessian_again.data(), hessian.size() * sizeof(float)), 0) << what;
  };
  const std::size_t threads = thread_count();
  for (const std::size_t count : {1, 3}) {
    set_thread_count(count);
    check(std::to_string(count) + " threads");
  }
  set_thread_count(threads);
  testing::for_each_instruction_set([&](const char* set) { check(set); });
}

TEST(LayerTransformTest, SignsDependOnSeedSideAndSizeAlone) {
  RotationOptions options;
  options.outputs = true;
  const LayerTransform a = make_rotation(options, 64, 96);
  EXPECT_EQ(a.input_block, 32u);
  EXPECT_EQ(a.output_block, 64u);
  EXPECT_EQ(make_rotation(options, 32, 96).input_signs, a.input_signs);
  options.block = 8;
  EXPECT_EQ(make_rotation(options, 64, 96).input_signs, a.input_signs);
  EXPECT_EQ(make_rotation(options, 64, 96).input_block, 8u);
  const LayerTransform square = make_rotation(options, 64, 64);
  EXPECT_NE(square.input_signs, square.output_signs);
  options.seed = 1;
  EXPECT_NE(make_rotation(options, 64, 96).input_signs, a.input_signs);
  const float sum = std::accumulate(a.input_signs.begin(), a.input_signs.end(), 0.0f);
  EXPECT_LT(std::abs(sum), 40);  // four deviations of 96 fair signs
}

TEST(LayerTransformTest, SidesThatNothingDividesAreLeftAlone) {
  RotationOptions options;
  options.outputs = true;
  EXPECT_TRUE(make_rotation(options, 5, 33).is_identity());
  EXPECT_EQ(make_rotation(options, 6, 33).output_block, 2u);
  EXPECT_TRUE(make_rotation(options, 6, 33).input_signs.empty());
  EXPECT_TRUE(make_rotation({}, 6, 33).is_identity());
  options.block = 1;
  EXPECT_EQ(make_rotation(options, 6, 32).input_block, 0u);
}

}  // namespace
}  // namespace lcomp
