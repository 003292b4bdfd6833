#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/formats/compressed_weight.h"
#include "lcomp/formats/weight_part.h"

namespace lcomp {

// The scales of groups of weights, one per group in row-major order, as every format with scales stores them:
//   scales       f32 or f16 little-endian, or u8 codes
//   row_scales   u8 only: f16 per row;  scale = row_scale * code / 255 (the product is exact in float32)

struct ScaleShape {
  std::size_t rows = 0;     // 1 for one scale per tensor
  std::size_t per_row = 0;  // groups of a row
  ScaleStorage storage = ScaleStorage::f16;
};

std::string_view name(ScaleStorage storage);  // "f32", "f16", "u8"

// Adds the parts ".scales" [rows, per_row] and, for u8, ".row_scales" [rows]. Throws Error where a size overflows.
void declare_scales(const ScaleShape& shape, const std::string& where, std::vector<PartDeclaration>& parts);

// Rounding of scales to stored values, done before codes are chosen so that the codes fit the stored scales.
// round_row_scale: the f16 nearest to the largest scale of a row, but no less than the smallest positive f16 (2^-24).
// round_scale: the value nearest to scale >= 0 that `storage` holds (row_scale: for u8 only). A positive scale stays
// positive. The result is infinite where f16 overflows.
float round_row_scale(float largest_scale);
float round_scale(float scale, ScaleStorage storage, float row_scale);

// The scale that an u8 code stands for (of an f16 row_scale the product is exact in float32, so that it is rounded
// once) and the code from 1 on whose scale is nearest, 0 for 0.
float scale_of_code(float row_scale, std::uint8_t code);
std::uint8_t code_of_scale(float scale, float row_scale);

// Stores the scales of one row's groups, [per_row], which must be results of round_scale() with the same row_scale.
void write_scales(const ScaleShape& shape, std::size_t row, std::span<const float> scales, float row_scale,
                  std::span<std::uint8_t> scale_bytes, std::span<std::uint8_t> row_scale_bytes);

// The scales of out.size() groups from group `first` on.
void read_scales(const ScaleShape& shape, std::span<const std::uint8_t> scale_bytes,
                 std::span<const std::uint8_t> row_scale_bytes, std::size_t first, std::span<float> out);

// Element `index` of an array of little-endian f16. Written values must be f16 values (asserted).
float read_half(std::span<const std::uint8_t> halves, std::size_t index);
void write_half(std::span<std::uint8_t> halves, std::size_t index, float value);

}  // namespace lcomp
