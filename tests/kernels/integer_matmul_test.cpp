// Integer products against the definition in 64-bit integers: the results must be equal to the bit, on every
// instruction set and with both inner steps.
#include "lcomp/kernels/integer_matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "core/instruction_sets.h"
#include "kernels/integer_product.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/grouped_integer.h"

namespace lcomp {
namespace {

struct Case {
  std::size_t tokens, in, out;
  int bits;
  std::size_t group_size;  // 0: a row
  bool symmetric_weight, symmetric;
  bool bias = false, permuted = false, per_tensor = false;
};

GroupedIntegerWeight random_weight(const Case& c) {
  GroupedIntegerLayout layout;
  layout.rows = c.out;
  layout.cols = c.in;
  layout.bits = c.bits;
  layout.symmetric = c.symmetric_weight;
  layout.group_size = c.group_size == 0 ? c.in : c.group_size;
  layout.per_tensor = c.per_tensor;
  layout.permuted = c.permuted;
  layout.scale_storage = ScaleStorage::f32;
  GroupedIntegerWeight weight = make_grouped_integer(layout, "test");
  Rng rng(c.in * 1000 + c.out);
  std::vector<std::uint8_t> codes(c.in);
  std::vector<float> zeros(group_count(layout));
  for (std::size_t i = 0; i < c.out; ++i) {
    for (auto& code : codes) code = static_cast<std::uint8_t>(rng.below(1u << c.bits));
    pack_row(weight, i, codes);
  }
  std::vector<float> scales(groups_per_row(layout));
  for (std::size_t i = 0; i < (c.per_tensor ? 1 : c.out); ++i) {
    for (float& scale : scales) scale = static_cast<float>(rng.uniform(0.001, 0.1));
    set_scales(weight, i, scales, 0);
  }
  for (float& zero : zeros) zero = static_cast<float>(rng.below(1u << c.bits));
  set_zero_points(weight, zeros);
  if (c.permuted) {
    std::vector<std::uint32_t> permutation(c.in);
    std::iota(permutation.begin(), permutation.end(), 0u);
    for (std::size_t j = c.in; j > 1; --j) std::swap(permutation[j - 1], permutation[rng.below(j)]);
    set_permutation(weight, permutation);
  }
  return weight;
}

QuantizedRows random_codes(const Case& c) {
  Rng rng(c.tokens);
  Matrix x(c.tokens, c.in);
  for (float& v : x.span()) v = static_cast<float>(rng.normal() + 0.3);
  QuantizedRows codes;
  quantize_rows(x.view(), c.symmetric, codes);
  return codes;
}

Matrix random_bias(const Case& c) {
  Matrix bias(1, c.bias ? c.out : 0);
  Rng rng(3);
  for (float& v : bias.span()) v = static_cast<float>(rng.normal());
  return bias;
}

// The equation in the header. volatile: each operation is rounded, whatever the compiler would like to fuse.
Matrix expected_product(const QuantizedRows& x, const GroupedIntegerWeight& weight, std::span<const float> bias) {
  Matrix y(x.rows, weight.rows);
  const GroupedIntegerView stored = view(weight);
  const auto scales = decode_scales(stored), zeros = decode_zero_points(stored);
  const auto permutation = decode_permutation(stored, "test");
  std::vector<std::uint8_t> codes(weight.cols);
  for (std::size_t o = 0; o < weight.rows; ++o) {
    unpack_row(stored, o, codes);
    for (std::size_t i = 0; i < x.rows; ++i) {
      volatile float total = 0;
      for (std::size_t g = 0; g < groups_per_row(weight); ++g) {
        const std::size_t group = first_group(weight, o) + g;
        std::int64_t sum = 0;
        for (std::size_t j = g * weight.group_size; j < std::min((g + 1) * weight.group_size, weight.cols); ++j) {
          const std::int64_t activation = x.row(i)[permutation[j]] - x.zero_points[i];
          sum += activation * (codes[j] - static_cast<std::int64_t>(zeros[group]));
        }
        EXPECT_LE(std::abs(sum), std::numeric_limits<std::int32_t>::max());
        const volatile float product = static_cast<float>(static_cast<std::int32_t>(sum)) * scales[group];
        total = total + product;
      }
      volatile float result = total * x.scales[i];
      if (!bias.empty()) result = result + bias[o];
      y(i, o) = result;
    }
  }
  return y;
}

void expect_same(const Matrix& y, const Matrix& expected, const std::string& what) {
  ASSERT_EQ(y.size(), expected.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    ASSERT_EQ(y.span()[i], expected.span()[i]) << what << ", element " << i / y.cols() << ", " << i % y.cols();
  }
}

struct IntegerMatmul : ::testing::TestWithParam<Case> {};

TEST_P(IntegerMatmul, IsExactOnEveryInstructionSet) {
  const Case& c = GetParam();
  const GroupedIntegerWeight weight = random_weight(c);
  const QuantizedRows x = random_codes(c);
  const Matrix bias = random_bias(c);
  const Matrix expected = expected_product(x, weight, bias.span());
  testing::for_each_instruction_set([&](const char* name) {
    IntegerWeight packed;
    packed.pack(view(weight), 0, c.out, "test");
    EXPECT_EQ(packed.rows(), c.out);
    EXPECT_EQ(packed.cols(), c.in);
    Matrix y(c.tokens, c.out);
    IntegerProduct{multiply_tile}(x, packed, bias.span(), y.view());
    expect_same(y, expected, name);
    if (!vnni_supported()) return;
    y.fill(-1);
    IntegerProduct{multiply_tile_vnni}(x, packed, bias.span(), y.view());
    expect_same(y, expected, std::string("VNNI and ") + name);
  });
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, IntegerMatmul,
    ::testing::Values(Case{1, 1, 1, 2, 0, true, true}, Case{1, 7, 3, 3, 0, false, true, true},
                      Case{2, 16, 64, 4, 16, true, true}, Case{3, 36, 65, 4, 16, false, true, true},
                      Case{6, 64, 63, 8, 32, false, true}, Case{7, 66, 130, 8, 32, false, false, true},
                      Case{13, 100, 70, 8, 0, true, false}, Case{11, 129, 64, 5, 64, false, false},
                      Case{5, 48, 66, 6, 12, false, false, true, true},
                      Case{4, 130, 20, 7, 8, true, false, false, true},
                      Case{3, 90, 70, 8, 0, false, false, false, false, true},
                      Case{2, 90, 70, 4, 0, true, true, true, true, true},
                      // Longer than what a tile is taken through at once: groups of 512 columns and more.
                      Case{2, 1030, 65, 4, 0, false, true}, Case{1, 1540, 5, 8, 600, false, false},
                      Case{7, 1100, 3, 8, 516, true, false}, Case{9, 700, 66, 3, 100, false, true},
                      // More rows than one task takes.
                      Case{200, 20, 65, 4, 8, false, false}),
    [](const auto& param) {
      const Case& c = param.param;
      return "tokens_" + std::to_string(c.tokens) + "_in_" + std::to_string(c.in) + "_out_" + std::to_string(c.out) +
             "_bits_" + std::to_string(c.bits) + "_group_" + std::to_string(c.group_size) + "_" +
             std::to_string(param.index);
    });

// By hand: codes 3, 5 with zero point 1 and scale 0.5, weights 2, 1 with zero point 0 (2 bits) and scale 0.25:
// (2 * 2 + 4 * 1) * 0.125 = 1, and 10 of bias.
TEST(IntegerMatmulByHand, OneOutput) {
  GroupedIntegerLayout layout;
  layout.rows = 1;
  layout.cols = 2;
  layout.bits = 2;
  layout.symmetric = false;
  layout.group_size = 2;
  GroupedIntegerWeight weight = make_grouped_integer(layout, "test");
  pack_row(weight, 0, std::vector<std::uint8_t>{2, 1});
  set_scales(weight, 0, std::vector<float>{0.25f}, 0);
  set_zero_points(weight, std::vector<float>{0});
  Matrix x(1, 2);
  x(0, 0) = 1;
  x(0, 1) = 2;
  QuantizedRows codes;
  quantize_rows(x.view(), {0.5f, 1}, false, codes);
  EXPECT_EQ(codes.row(0)[0], 3);
  EXPECT_EQ(codes.row(0)[1], 5);
  IntegerWeight packed;
  packed.pack(view(weight), 0, 1, "test");
  Matrix y(1, 1);
  multiply(codes, packed, std::vector<float>{10}, y.view());
  EXPECT_EQ(y(0, 0), 11);
}

// The largest sums that there can be: 255 * 255 * 32768 = 2130739200, just below 2^31.
TEST(IntegerMatmulBound, LongestGroupDoesNotOverflow) {
  for (const bool negative : {false, true}) {
    GroupedIntegerLayout layout;
    layout.rows = 2;
    layout.cols = layout.group_size = 32768;
    layout.bits = 8;
    layout.symmetric = false;
    layout.scale_storage = ScaleStorage::f32;
    GroupedIntegerWeight weight = make_grouped_integer(layout, "test");
    const std::uint8_t code = negative ? 0 : 255, zero = negative ? 255 : 0;
    for (std::size_t i = 0; i < 2; ++i) {
      pack_row(weight, i, std::vector<std::uint8_t>(layout.cols, code));
      set_scales(weight, i, std::vector<float>{1}, 0);
    }
    set_zero_points(weight, std::vector<float>(2, zero));
    Matrix x(2, layout.cols);
    std::fill_n(x.data(), layout.cols, 255.0f);
    std::fill_n(x.data() + layout.cols, layout.cols, 1000.0f);  // clamped
    QuantizedRows codes;
    quantize_rows(x.view(), {1, 0}, false, codes);
    IntegerWeight packed;
    packed.pack(view(weight), 0, 2, "test");
    Matrix y(2, 2);
    testing::for_each_instruction_set([&](const char* name) {
      for (const auto tile : {&multiply_tile, &multiply_tile_vnni}) {
        if (tile == &multiply_tile_vnni && !vnni_supported()) continue;
        IntegerProduct{tile}(codes, packed, {}, y.view());
        for (const float v : y.span()) EXPECT_EQ(v, negative ? -2130739200.0f : 2130739200.0f) << name;
      }
    });
  }
}

TEST(IntegerMatmulRows, PartOfAWeight) {
  Case c{5, 64, 100, 4, 32, false, true};
  const GroupedIntegerWeight weight = random_weight(c);
  const QuantizedRows x = random_codes(c);
  const Matrix expected = expected_product(x, weight, {});
  IntegerWeight packed;
  packed.pack(view(weight), 30, 66, "test");
  Matrix y(5, 66);
  multiply(x, packed, {}, y.view());
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t o = 0; o < 66; ++o) ASSERT_EQ(y(i, o), expected(i, 30 + o));
  }
}

// An object is filled again with weights of other shapes and kinds.
TEST(IntegerMatmulRows, WeightIsWrittenOver) {
  IntegerWeight packed;
  for (const Case& c : {Case{2, 130, 70, 8, 64, false, true}, Case{2, 20, 3, 4, 0, true, true, false, true},
                        Case{2, 300, 140, 3, 20, false, false}}) {
    const GroupedIntegerWeight weight = random_weight(c);
    const QuantizedRows x = random_codes(c);
    packed.pack(view(weight), 0, c.out, "test");
    Matrix y(2, c.out);
    multiply(x, packed, {}, y.view());
    expect_same(y, expected_product(x, weight, {}), "written over");
  }
}

TEST(IntegerMatmulRows, TokensAndThreadsAreIndependent) {
  const Case c{300, 200, 400, 4, 40, false, false, true};
  const GroupedIntegerWeight weight = random_weight(c);
  const Matrix bias = random_bias(c);
  IntegerWeight packed;
  packed.pack(view(weight), 0, c.out, "test");
  Rng rng(1);
  Matrix x(300, 200);
  for (float& v : x.span()) v = static_cast<float>(rng.normal());
  QuantizedRows codes;
  const std::size_t before = thread_count();
  Matrix one(300, 400), two(300, 400), alone(1, 400);
  set_thread_count(1);
  quantize_rows(x.view(), false, codes);
  multiply(codes, packed, bias.span(), one.view());
  set_thread_count(2);
  quantize_rows(x.view(), false, codes);
  multiply(codes, packed, bias.span(), two.view());
  set_thread_count(before);
  expect_same(two, one, "two threads");
  for (const std::size_t i : {0u, 5u, 191u, 192u, 299u}) {
    quantize_rows(x.view().rows_range(i, 1), false, codes);
    multiply(codes, packed, bias.span(), alone.view());
    EXPECT_EQ(std::memcmp(alone.data(), one.row(i).data(), 400 * sizeof(float)), 0) << i;
  }
}

TEST(IntegerMatmulRows, NotANumberStaysVisible) {
  const Case c{3, 32, 10, 4, 16, false, true};
  const GroupedIntegerWeight weight = random_weight(c);
  Matrix x(3, 32);
  x.fill(1);
  x(1, 20) = INFINITY;
  QuantizedRows codes;
  quantize_rows(x.view(), true, codes);
  IntegerWeight packed;
  packed.pack(view(weight), 0, 10, "test");
  Matrix y(3, 10);
  multiply(codes, packed, {}, y.view());
  EXPECT_TRUE(std::isfinite(y(0, 0)));
  EXPECT_TRUE(std::isnan(y(1, 9)));
  EXPECT_TRUE(std::isfinite(y(2, 0)));
}

void expect_refused(const CompressedWeightView& weight, const std::string& part) {
  try {
    IntegerWeight().pack(weight, 0, 1, "model.layers.3.q_proj");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("model.layers.3.q_proj"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(IntegerWeightRefuses, WhatIntegersCannotMultiply) {
  Matrix values(2, 8);
  values.fill(1);
  const DenseWeight dense = encode_dense(values.view(), DenseType::f16, "test");
  expect_refused(view(dense), "f16");
  expect_refused(view(random_weight({1, 8, 2, 1, 0, true, true})), "1-bit");
  expect_refused(view(random_weight({1, 12, 2, 4, 6, true, true})), "multiple of 4");
  GroupedIntegerLayout half_zeros;
  half_zeros.rows = half_zeros.cols = half_zeros.group_size = 8;
  half_zeros.symmetric = false;
  half_zeros.zero_storage = ZeroStorage::f16;
  expect_refused(view(make_grouped_integer(half_zeros, "test")), "f16");
  GroupedIntegerLayout layout;
  layout.rows = 1;
  layout.cols = layout.group_size = 32772;
  expect_refused(view(make_grouped_integer(layout, "test")), "32768");
  GroupedIntegerWeight broken = random_weight({1, 8, 2, 4, 0, true, true});
  const float infinity = INFINITY;
  std::memcpy(broken.scales.data(), &infinity, 4);
  expect_refused(view(broken), "inf");
}

}  // namespace
}  // namespace lcomp
