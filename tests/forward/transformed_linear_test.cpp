// Linears whose stored weights are in another basis, multiplied as integers: against sums in double over the stored
// codes and scales, with the transforms written out as matrices.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "forward/linear.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/formats/transformed_weight.h"

namespace lcomp {
namespace {

struct Part {
  std::size_t rows = 0;                  // of the stored weight
  std::size_t row_begin = 0, count = 0;  // of the part
  std::size_t input_block = 0, output_block = 0;
  bool scaled = false;
  std::uint64_t seed = 0;  // of scales and signs of inputs
};

std::vector<float> random_signs(std::size_t size, Rng rng) {
  std::vector<float> signs(size);
  for (float& sign : signs) sign = rng.below(2) == 0 ? 1.0f : -1.0f;
  return signs;
}

CompressedWeight stored_weight(const Part& part, std::size_t cols) {
  Rng rng(part.rows + part.row_begin);
  GroupedIntegerLayout layout;
  layout.rows = part.rows;
  layout.cols = cols;
  layout.bits = 5;
  layout.symmetric = false;
  layout.group_size = 16;
  layout.scale_storage = ScaleStorage::f32;
  GroupedIntegerWeight base = make_grouped_integer(layout, "w");
  for (auto& byte : base.codes) byte = static_cast<std::uint8_t>(rng.below(256));
  for (auto& byte : base.zeros) byte = static_cast<std::uint8_t>(rng.below(256));
  std::vector<float> scales(groups_per_row(layout));
  for (std::size_t i = 0; i < part.rows; ++i) {
    for (float& scale : scales) scale = static_cast<float>(rng.uniform(0.01, 0.1));
    set_scales(base, i, scales, 0);
  }
  TransformedWeight weight;
  weight.rows = part.rows;
  weight.cols = cols;
  weight.transform = {part.scaled, part.input_block, part.output_block};
  if (weight.transform == WeightTransform{}) return base;
  weight.base = base;
  Rng inputs(part.seed);
  // Powers of two, so that scaled inputs are exact in float32.
  for (std::size_t j = 0; part.scaled && j < cols; ++j) {
    const std::uint16_t bits = float_to_half(std::exp2(static_cast<float>(inputs.below(5)) - 2));
    weight.input_scales.push_back(static_cast<std::uint8_t>(bits & 255));
    weight.input_scales.push_back(static_cast<std::uint8_t>(bits >> 8));
  }
  if (part.input_block > 0) weight.input_signs = encode_signs(random_signs(cols, inputs.split("signs")));
  if (part.output_block > 0) weight.output_signs = encode_signs(random_signs(part.rows, rng.split("signs")));
  return weight;
}

// Walsh's matrix of order `block`, divided by its root, on the diagonal.
double hadamard_entry(std::size_t block, std::size_t i, std::size_t j) {
  if (i / block != j / block) return 0;
  const int sign = std::popcount((i % block) & (j % block)) % 2 == 0 ? 1 : -1;
  return sign / std::sqrt(static_cast<double>(block));
}

// H_in S_in diag(c) x, in double.
std::vector<double> transformed_input(const TransformedWeight& weight, std::span<const float> x) {
  std::vector<double> factored(x.begin(), x.end()), out(x.size(), 0.0);
  const std::vector<float> factors = column_factors(view(weight));
  for (std::size_t j = 0; j < factors.size(); ++j) factored[j] *= static_cast<double>(factors[j]);
  const std::size_t block = weight.transform.input_block;
  if (block == 0) return factored;
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t j = 0; j < x.size(); ++j) out[i] += hadamard_entry(block, i, j) * factored[j];
  }
  return out;
}

// The rounded input, symmetric: scale times integer.
std::vector<double> rounded(const std::vector<double>& x) {
  float largest = 0;
  for (const double v : x) largest = std::max(largest, std::abs(static_cast<float>(v)));
  const float scale = largest > 0 ? largest / 127 : 1;
  std::vector<double> out;
  for (const double v : x) out.push_back(static_cast<double>(scale) * std::nearbyint(static_cast<float>(v) / scale));
  return out;
}

// All rows of the stored weight times the rounded input, in double.
std::vector<double> expected_outputs(const CompressedWeight& weight, std::span<const float> x) {
  const auto* transformed = std::get_if<TransformedWeight>(&weight);
  const auto& base = transformed == nullptr ? std::get<GroupedIntegerWeight>(weight)
                                            : std::get<GroupedIntegerWeight>(transformed->base);
  const std::vector<double> input =
      rounded(transformed == nullptr ? std::vector<double>(x.begin(), x.end()) : transformed_input(*transformed, x));
  const auto scales = decode_scales(view(base)), zeros = decode_zero_points(view(base));
  std::vector<std::uint8_t> codes(base.cols);
  std::vector<double> y(base.rows, 0.0);
  for (std::size_t o = 0; o < base.rows; ++o) {
    unpack_row(view(base), o, codes);
    for (std::size_t j = 0; j < base.cols; ++j) {
      const std::size_t group = first_group(base, o) + j / base.group_size;
      y[o] += static_cast<double>(scales[group]) * (codes[j] - static_cast<double>(zeros[group])) * input[j];
    }
  }
  if (transformed == nullptr || transformed->transform.output_block == 0) return y;
  const std::vector<float> signs = decode_signs(transformed->output_signs, base.rows);
  std::vector<double> restored(base.rows, 0.0);
  for (std::size_t o = 0; o < base.rows; ++o) {
    for (std::size_t k = 0; k < base.rows; ++k) {
      restored[o] += hadamard_entry(transformed->transform.output_block, k, o) * y[k];
    }
    restored[o] *= static_cast<double>(signs[o]);
  }
  return restored;
}

// Blocks of 16 and 64, whose roots are powers of two, keep integers exact: codes can't differ by rounding before them.
Matrix integer_inputs(std::size_t tokens, std::size_t cols) {
  Rng rng(tokens);
  Matrix x(tokens, cols);
  for (float& v : x.span()) v = static_cast<float>(rng.below(33)) - 16;
  for (std::size_t i = 0; i < tokens; ++i) x(i, i % cols) = 200;
  return x;
}

struct TransformedLinear : ::testing::TestWithParam<std::vector<Part>> {
  static constexpr std::size_t cols = 192, tokens = 9;
  void SetUp() override {
    for (const Part& part : GetParam()) weights.push_back(stored_weight(part, cols));
  }
  LinearWeight packed(const MatrixMultiplier& multiplier, std::span<const float> bias) const {
    std::vector<IntegerPart> parts;
    for (std::size_t p = 0; p < weights.size(); ++p) {
      parts.push_back({view(weights[p]), GetParam()[p].row_begin, GetParam()[p].count, "test", true, std::nullopt});
    }
    LinearWeight weight;
    multiplier.pack(parts, bias, weight);
    return weight;
  }

  std::vector<CompressedWeight> weights;
};

TEST_P(TransformedLinear, IsTheSumInDouble) {
  MatrixMultiplier multiplier(ComputeType::float32);
  std::size_t outputs = 0;
  for (const Part& part : GetParam()) outputs += part.count;
  const Matrix x = integer_inputs(tokens, cols);
  std::vector<float> bias(outputs);
  for (std::size_t o = 0; o < outputs; ++o) bias[o] = static_cast<float>(o);
  for (const bool with_bias : {false, true}) {
    const LinearWeight weight = packed(multiplier, with_bias ? bias : std::vector<float>());
    ASSERT_EQ(weight.out_features(), outputs);
    Matrix y(tokens, outputs);
    multiplier.multiply(x.view(), weight, y.view());
    for (std::size_t i = 0; i < tokens; ++i) {
      std::size_t o = 0;
      for (std::size_t p = 0; p < weights.size(); ++p) {
        const std::vector<double> expected = expected_outputs(weights[p], x.row(i));
        double size = 0;
        for (const double v : expected) size = std::max(size, std::abs(v));
        for (std::size_t r = 0; r < GetParam()[p].count; ++r, ++o) {
          const double at = expected[GetParam()[p].row_begin + r] + (with_bias ? static_cast<double>(bias[o]) : 0);
          ASSERT_NEAR(y(i, o), at, 2e-6 * (size + 200)) << "token " << i << ", part " << p << ", row " << r;
        }
      }
    }
  }
}

TEST_P(TransformedLinear, ThreadsAndTokensAloneAgree) {
  MatrixMultiplier multiplier(ComputeType::float32);
  const LinearWeight weight = packed(multiplier, {});
  Rng rng(3);
  Matrix x(200, cols);
  for (float& v : x.span()) v = static_cast<float>(rng.normal());
  Matrix one(200, weight.out_features()), two(200, weight.out_features()), alone(1, weight.out_features());
  const std::size_t before = thread_count();
  set_thread_count(1);
  multiplier.multiply(x.view(), weight, one.view());
  set_thread_count(2);
  multiplier.multiply(x.view(), weight, two.view());
  set_thread_count(before);
  multiplier.multiply(x.view().rows_range(77, 1), weight, alone.view());
  for (std::size_t i = 0; i < one.size(); ++i) ASSERT_EQ(one.span()[i], two.span()[i]) << i;
  for (std::size_t o = 0; o < alone.size(); ++o) ASSERT_EQ(alone(0, o), one(77, o)) << o;
}

// rows, row_begin, count, input_block, output_block, scaled, seed
INSTANTIATE_TEST_SUITE_P(
    Parts, TransformedLinear,
    ::testing::Values(std::vector<Part>{{40, 0, 40, 64, 0, false, 1}}, std::vector<Part>{{70, 0, 70, 0, 0, true, 1}},
                      std::vector<Part>{{64, 0, 64, 16, 16, true, 1}},
                      // Query, key and value: the first two share their inputs, the others don't; one is not
                      // transformed.
                      std::vector<Part>{{64, 0, 64, 64, 0, false, 1},
                                        {32, 0, 32, 64, 0, false, 1},
                                        {32, 0, 32, 64, 0, false, 2},
                                        {32, 0, 32, 64, 0, true, 2},
                                        {32, 0, 32, 0, 0, false, 0}},
                      // Rows of a fused weight that begin and end within blocks of rotated outputs.
                      std::vector<Part>{{96, 0, 40, 64, 16, false, 1},
                                        {96, 40, 20, 64, 16, false, 1},
                                        {96, 60, 36, 64, 16, false, 1}}));

}  // namespace
}  // namespace lcomp
