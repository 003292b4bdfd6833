#include "lcomp/formats/group_scales.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "lcomp/core/float16.h"

namespace lcomp {
namespace {

constexpr float smallest_half = 0x1.0p-24f;

DataType data_type(ScaleStorage storage) {
  switch (storage) {
    case ScaleStorage::f32:
      return DataType::f32;
    case ScaleStorage::f16:
      return DataType::f16;
    case ScaleStorage::u8:
      return DataType::u8;
  }
  return DataType::f32;
}

}  // namespace

std::string_view name(ScaleStorage storage) {
  switch (storage) {
    case ScaleStorage::f32:
      return "f32";
    case ScaleStorage::f16:
      return "f16";
    case ScaleStorage::u8:
      return "u8";
  }
  return "";
}

void declare_scales(const ScaleShape& shape, const std::string& where, std::vector<PartDeclaration>& parts) {
  parts.push_back(declare_part(".scales", data_type(shape.storage), {shape.rows, shape.per_row}, where));
  if (shape.storage == ScaleStorage::u8) {
    parts.push_back(declare_part(".row_scales", DataType::f16, {shape.rows}, where));
  }
}

float scale_of_code(float row_scale, std::uint8_t code) { return row_scale * static_cast<float>(code) / 255.0f; }

std::uint8_t code_of_scale(float scale, float row_scale) {
  if (scale == 0) return 0;
  return static_cast<std::uint8_t>(std::clamp(std::nearbyint(255.0f * (scale / row_scale)), 1.0f, 255.0f));
}

float round_row_scale(float largest_scale) { return round_scale(largest_scale, ScaleStorage::f16, 0); }

float round_scale(float scale, ScaleStorage storage, float row_scale) {
  assert(scale >= 0);
  switch (storage) {
    case ScaleStorage::f32:
      return scale;
    case ScaleStorage::f16:
      return scale == 0 ? 0 : std::max(half_to_float(float_to_half(scale)), smallest_half);
    case ScaleStorage::u8:
      return scale_of_code(row_scale, code_of_scale(scale, row_scale));
  }
  return scale;
}

void write_scales(const ScaleShape& shape, std::size_t row, std::span<const float> scales, float row_scale,
                  std::span<std::uint8_t> scale_bytes, std::span<std::uint8_t> row_scale_bytes) {
  assert(row < shape.rows && scales.size() == shape.per_row);
  const std::size_t first = row * shape.per_row;
  switch (shape.storage) {
    case ScaleStorage::f32:
      std::memcpy(scale_bytes.data() + 4 * first, scales.data(), scales.size_bytes());
      return;
    case ScaleStorage::f16:
      for (std::size_t g = 0; g < scales.size(); ++g) write_half(scale_bytes, first + g, scales[g]);
      return;
    case ScaleStorage::u8:
      write_half(row_scale_bytes, row, row_scale);
      for (std::size_t g = 0; g < scales.size(); ++g) {
        const std::uint8_t code = code_of_scale(scales[g], row_scale);
        assert(scale_of_code(row_scale, code) == scales[g]);
        scale_bytes[first + g] = code;
      }
      return;
  }
}

void read_scales(const ScaleShape& shape, std::span<const std::uint8_t> scale_bytes,
                 std::span<const std::uint8_t> row_scale_bytes, std::size_t first, std::span<float> out) {
  switch (shape.storage) {
    case ScaleStorage::f32:
      std::memcpy(out.data(), scale_bytes.data() + 4 * first, out.size_bytes());
      return;
    case ScaleStorage::f16:
      for (std::size_t g = 0; g < out.size(); ++g) out[g] = read_half(scale_bytes, first + g);
      return;
    case ScaleStorage::u8:
      for (std::size_t g = 0; g < out.size(); ++g) {
        const float row_scale = read_half(row_scale_bytes, (first + g) / shape.per_row);
        out[g] = scale_of_code(row_scale, scale_bytes[first + g]);
      }
      return;
  }
}

float read_half(std::span<const std::uint8_t> halves, std::size_t index) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, halves.data() + 2 * index, 2);
  return half_to_float(bits);
}

void write_half(std::span<std::uint8_t> halves, std::size_t index, float value) {
  const std::uint16_t bits = float_to_half(value);
  assert(half_to_float(bits) == value);
  std::memcpy(halves.data() + 2 * index, &bits, 2);
}

}  // namespace lcomp
