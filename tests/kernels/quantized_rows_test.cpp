#include "lcomp/kernels/quantized_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/instruction_sets.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"

namespace lcomp {
namespace {

Matrix random_rows(std::size_t rows, std::size_t cols) {
  Rng rng(rows * 100 + cols);
  Matrix x(rows, cols);
  for (float& v : x.span()) v = static_cast<float>(rng.normal() * std::exp(rng.normal()));
  return x;
}

// The definition in the header, one value at a time.
std::uint8_t code_of(float x, const InputGrid& grid, bool symmetric) {
  const float rounded = std::nearbyint(x / grid.scale) + static_cast<float>(grid.zero_point);
  return static_cast<std::uint8_t>(std::clamp(rounded, symmetric ? 1.0f : 0.0f, 255.0f));
}

// A row by hand. Symmetric: scale = 2.54 / 127 = 0.02. Asymmetric: 0.51 below zero, 2.04 above: scale = 0.01, zero at
// 51.
TEST(InputGrid, ByHand) {
  const InputGrid symmetric = input_grid(-0.5f, 2.54f, true);
  EXPECT_FLOAT_EQ(symmetric.scale, 0.02f);
  EXPECT_EQ(symmetric.zero_point, 128);
  const InputGrid asymmetric = input_grid(-0.51f, 2.04f, false);
  EXPECT_FLOAT_EQ(asymmetric.scale, 0.01f);
  EXPECT_EQ(asymmetric.zero_point, 51);
  EXPECT_EQ(input_grid(0.5f, 2.55f, false).zero_point, 0) << "the range includes zero";
  EXPECT_EQ(input_grid(-2.55f, -1, false).zero_point, 255);
  EXPECT_EQ(input_grid(0, 0, true), (InputGrid{1, 128}));
  const float most = std::numeric_limits<float>::max();
  EXPECT_TRUE(std::isfinite(input_grid(-most, most, false).scale));
  EXPECT_EQ(input_grid(0, std::numeric_limits<float>::denorm_min(), true), (InputGrid{1, 128}));
}

TEST(QuantizeRows, IsTheDefinitionOnEveryInstructionSet) {
  testing::for_each_instruction_set([](const char* name) {
    for (const std::size_t cols : {1u, 3u, 16u, 31u, 64u, 100u, 257u}) {
      const Matrix x = random_rows(5, cols);
      for (const bool symmetric : {true, false}) {
        QuantizedRows codes;
        quantize_rows(x.view(), symmetric, codes);
        QuantizedRows fixed;
        const InputGrid given = input_grid(-0.9f, 1.1f, symmetric);
        quantize_rows(x.view(), given, symmetric, fixed);
        ASSERT_EQ(codes.rows, 5u);
        ASSERT_EQ(codes.cols, cols);
        for (std::size_t i = 0; i < 5; ++i) {
          const auto row = x.row(i);
          const InputGrid grid = input_grid(std::min(0.0f, *std::min_element(row.begin(), row.end())),
                                            std::max(0.0f, *std::max_element(row.begin(), row.end())), symmetric);
          ASSERT_EQ(codes.scales[i], grid.scale) << name;
          ASSERT_EQ(codes.zero_points[i], grid.zero_point);
          ASSERT_EQ(fixed.scales[i], given.scale);
          for (std::size_t j = 0; j < cols; ++j) {
            ASSERT_EQ(codes.row(i)[j], code_of(row[j], grid, symmetric))
                << name << " " << cols << ": " << i << ", " << j;
            ASSERT_EQ(fixed.row(i)[j], code_of(row[j], given, symmetric)) << name;
          }
        }
      }
    }
  });
}

TEST(QuantizeRows, ErrorIsAtMostHalfAStep) {
  const Matrix x = random_rows(20, 300);
  for (const bool symmetric : {true, false}) {
    QuantizedRows codes;
    quantize_rows(x.view(), symmetric, codes);
    for (std::size_t i = 0; i < 20; ++i) {
      for (std::size_t j = 0; j < 300; ++j) {
        const float decoded = codes.scales[i] * static_cast<float>(codes.row(i)[j] - codes.zero_points[i]);
        // Rounding of the zero point may cost the ends of the range up to half a step more.
        ASSERT_LE(std::abs(decoded - x(i, j)), (symmetric ? 0.5001f : 1.0001f) * codes.scales[i]);
      }
    }
  }
}

TEST(QuantizeRows, NotFiniteRowsStayVisibleAndAlone) {
  testing::for_each_instruction_set([](const char* name) {
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      for (const std::size_t at : {0u, 36u}) {
        Matrix x = random_rows(3, 37);
        x(1, at) = bad;
        const InputGrid grid;
        for (const bool fixed : {false, true}) {
          QuantizedRows codes;
          if (fixed) {
            quantize_rows(x.view(), grid, true, codes);
          } else {
            quantize_rows(x.view(), true, codes);
          }
          EXPECT_TRUE(std::isnan(codes.scales[1])) << name;
          EXPECT_TRUE(std::isfinite(codes.scales[0]));
          EXPECT_TRUE(std::isfinite(codes.scales[2]));
        }
      }
    }
  });
}

TEST(QuantizeRows, ZeroIsExact) {
  Matrix x(2, 5);
  x.fill(0);
  x(1, 2) = -7;
  for (const bool symmetric : {true, false}) {
    QuantizedRows codes;
    quantize_rows(x.view(), symmetric, codes);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(codes.row(i)[0], codes.zero_points[i]);
    }
  }
}

TEST(QuantizeRows, ColumnsArePermuted) {
  const Matrix x = random_rows(2, 4);
  QuantizedRows codes, permuted;
  quantize_rows(x.view(), false, codes);
  permute_columns(codes, {2, 0, 3, 1}, permuted);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(permuted.row(i)[0], codes.row(i)[2]);
    EXPECT_EQ(permuted.row(i)[3], codes.row(i)[1]);
  }
  EXPECT_EQ(permuted.scales, codes.scales);
}

}  // namespace
}  // namespace lcomp
