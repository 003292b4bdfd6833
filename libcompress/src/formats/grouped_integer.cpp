#include "lcomp/formats/grouped_integer.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <numeric>

#include <fmt/format.h>

#include "grouped_integer_decode.h"
#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/bit_packing.h"

namespace lcomp {
namespace {

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

constexpr float smallest_half = 0x1.0p-24f;

// The product of an f16 and a byte is exact in float32, so that the quotient is rounded once.
float scale_of_code(float row_scale, std::uint8_t code) { return row_scale * static_cast<float>(code) / 255.0f; }

// The code from 1 on whose scale is nearest.
std::uint8_t code_of_scale(float scale, float row_scale) {
  return static_cast<std::uint8_t>(std::clamp(std::nearbyint(255.0f * (scale / row_scale)), 1.0f, 255.0f));
}

// Scales of `count` groups from `first` on.
void decode_scales(const GroupedIntegerView& weight, std::size_t first, std::span<float> out) {
  switch (weight.scale_storage) {
    case ScaleStorage::f32:
      std::memcpy(out.data(), weight.scales.data() + 4 * first, out.size_bytes());
      return;
    case ScaleStorage::f16:
      for (std::size_t g = 0; g < out.size(); ++g) out[g] = read_half(weight.scales, first + g);
      return;
    case ScaleStorage::u8: {
      const std::size_t per_row = groups_per_row(weight);
      for (std::size_t g = 0; g < out.size(); ++g) {
        const float row_scale = read_half(weight.row_scales, weight.per_tensor ? 0 : (first + g) / per_row);
        out[g] = scale_of_code(row_scale, weight.scales[first + g]);
      }
      return;
    }
  }
}

bool has_wide_permutation(const GroupedIntegerLayout& layout) { return layout.cols > 65536; }

std::uint32_t stored_column(const GroupedIntegerView& weight, std::size_t j) {
  const std::size_t width = has_wide_permutation(weight) ? 4 : 2;
  std::uint32_t column = 0;
  for (std::size_t byte = 0; byte < width; ++byte) {
    column |= static_cast<std::uint32_t>(weight.permutation[width * j + byte]) << (8 * byte);
  }
  return column;
}

void decode_zero_points(const GroupedIntegerView& weight, std::size_t first, std::span<float> out) {
  if (weight.symmetric) {
    std::fill(out.begin(), out.end(), implied_zero_point(weight.bits));
    return;
  }
  if (weight.zero_storage == ZeroStorage::f16) {
    for (std::size_t g = 0; g < out.size(); ++g) out[g] = read_half(weight.zeros, first + g);
    return;
  }
  std::vector<std::uint8_t> codes(out.size());
  unpack_bits(weight.zeros, weight.bits, first, codes);
  for (std::size_t g = 0; g < out.size(); ++g) out[g] = static_cast<float>(codes[g]);
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

std::string_view name(ZeroStorage storage) {
  switch (storage) {
    case ZeroStorage::integer:
      return "integer";
    case ZeroStorage::f16:
      return "f16";
  }
  return "";
}

void check_layout(const GroupedIntegerLayout& layout, const std::string& where) {
  if (layout.bits < 1 || layout.bits > 8) throw Error({where, fmt::format("{} bits", layout.bits), "1 to 8", ""});
  if (layout.rows == 0 || layout.cols == 0) {
    throw Error(
        {where, fmt::format("a weight of {} x {}", layout.rows, layout.cols), "at least one row and column", ""});
  }
  if (layout.symmetric && layout.zero_storage != ZeroStorage::integer) {
    throw Error({where, "f16 zero points of a symmetric weight", "an asymmetric one, which stores zero points", ""});
  }
  if (layout.group_size == 0 || layout.group_size > layout.cols ||
      (layout.per_tensor && layout.group_size != layout.cols)) {
    throw Error({where, fmt::format("groups of {} columns", layout.group_size),
                 layout.per_tensor ? fmt::format("{} for a scale per tensor", layout.cols)
                                   : fmt::format("1 to {}", layout.cols),
                 ""});
  }
}

std::size_t groups_per_row(const GroupedIntegerLayout& layout) {
  return layout.per_tensor ? 1 : divide_up(layout.cols, layout.group_size);
}

std::size_t group_count(const GroupedIntegerLayout& layout) {
  return layout.per_tensor ? 1 : layout.rows * groups_per_row(layout);
}

std::size_t first_group(const GroupedIntegerLayout& layout, std::size_t row) {
  return layout.per_tensor ? 0 : row * groups_per_row(layout);
}

std::size_t code_row_bytes(const GroupedIntegerLayout& layout) { return packed_bytes(layout.cols, layout.bits); }

std::vector<PartDeclaration> declared_parts(const GroupedIntegerLayout& layout, const std::string& where) {
  check_layout(layout, where);
  const std::size_t per_row = groups_per_row(layout);
  const std::size_t scale_rows = layout.per_tensor ? 1 : layout.rows;
  const auto declare = [&where](const char* suffix, DataType type, std::vector<std::size_t> shape) {
    return declare_part(suffix, type, std::move(shape), where);
  };
  std::vector<PartDeclaration> parts;
  parts.push_back(declare(".codes", DataType::u8, {layout.rows, code_row_bytes(layout)}));
  switch (layout.scale_storage) {
    case ScaleStorage::f32:
      parts.push_back(declare(".scales", DataType::f32, {scale_rows, per_row}));
      break;
    case ScaleStorage::f16:
      parts.push_back(declare(".scales", DataType::f16, {scale_rows, per_row}));
      break;
    case ScaleStorage::u8:
      parts.push_back(declare(".scales", DataType::u8, {scale_rows, per_row}));
      parts.push_back(declare(".row_scales", DataType::f16, {scale_rows}));
      break;
  }
  if (!layout.symmetric && layout.zero_storage == ZeroStorage::f16) {
    parts.push_back(declare(".zeros", DataType::f16, {scale_rows, per_row}));
  } else if (!layout.symmetric) {
    parts.push_back(declare(".zeros", DataType::u8, {packed_bytes(group_count(layout), layout.bits)}));
  }
  if (layout.permuted) {
    parts.push_back(
        declare(".permutation", has_wide_permutation(layout) ? DataType::u32 : DataType::u16, {layout.cols}));
  }
  return parts;
}

GroupedIntegerView view(const GroupedIntegerWeight& weight) {
  return {static_cast<const GroupedIntegerLayout&>(weight),
          weight.codes,
          weight.scales,
          weight.row_scales,
          weight.zeros,
          weight.permutation};
}

GroupedIntegerView empty_view(const GroupedIntegerLayout& layout) { return {layout, {}, {}, {}, {}, {}}; }

std::span<const std::uint8_t>& part_data(GroupedIntegerView& weight, std::string_view suffix) {
  if (suffix == ".codes") return weight.codes;
  if (suffix == ".scales") return weight.scales;
  if (suffix == ".row_scales") return weight.row_scales;
  if (suffix == ".permutation") return weight.permutation;
  assert(suffix == ".zeros");
  return weight.zeros;
}

GroupedIntegerWeight make_grouped_integer(const GroupedIntegerLayout& layout, const std::string& where) {
  GroupedIntegerWeight weight;
  static_cast<GroupedIntegerLayout&>(weight) = layout;
  for (const PartDeclaration& part : declared_parts(layout, where)) {
    auto& buffer = part.suffix == ".codes"         ? weight.codes
                   : part.suffix == ".scales"      ? weight.scales
                   : part.suffix == ".row_scales"  ? weight.row_scales
                   : part.suffix == ".permutation" ? weight.permutation
                                                   : weight.zeros;
    buffer.resize(part.bytes);
  }
  return weight;
}

void pack_row(GroupedIntegerWeight& weight, std::size_t row, std::span<const std::uint8_t> codes) {
  assert(row < weight.rows && codes.size() == weight.cols);
  const std::size_t row_bytes = code_row_bytes(weight);
  pack_bits(codes, weight.bits, std::span(weight.codes).subspan(row * row_bytes, row_bytes));
}

void unpack_row(const GroupedIntegerView& weight, std::size_t row, std::span<std::uint8_t> codes) {
  assert(row < weight.rows && codes.size() == weight.cols);
  const std::size_t row_bytes = code_row_bytes(weight);
  unpack_bits(weight.codes.subspan(row * row_bytes, row_bytes), weight.bits, 0, codes);
}

float implied_zero_point(int bits) { return bits == 1 ? 0.5f : static_cast<float>(1 << (bits - 1)); }

float round_row_scale(float largest_scale) { return round_scale(largest_scale, ScaleStorage::f16, 0); }

float round_scale(float scale, ScaleStorage storage, float row_scale) {
  assert(scale >= 0);
  switch (storage) {
    case ScaleStorage::f32:
      return scale;
    case ScaleStorage::f16:
      return scale == 0 ? 0 : std::max(half_to_float(float_to_half(scale)), smallest_half);
    case ScaleStorage::u8:
      return scale == 0 ? 0 : scale_of_code(row_scale, code_of_scale(scale, row_scale));
  }
  return scale;
}

void set_scales(GroupedIntegerWeight& weight, std::size_t row, std::span<const float> scales, float row_scale) {
  assert(scales.size() == groups_per_row(weight) && (!weight.per_tensor || row == 0));
  const std::size_t first = first_group(weight, row);
  switch (weight.scale_storage) {
    case ScaleStorage::f32:
      std::memcpy(weight.scales.data() + 4 * first, scales.data(), scales.size_bytes());
      return;
    case ScaleStorage::f16:
      for (std::size_t g = 0; g < scales.size(); ++g) write_half(weight.scales, first + g, scales[g]);
      return;
    case ScaleStorage::u8:
      write_half(weight.row_scales, row, row_scale);
      for (std::size_t g = 0; g < scales.size(); ++g) {
        const std::uint8_t code = scales[g] == 0 ? std::uint8_t{0} : code_of_scale(scales[g], row_scale);
        assert(scale_of_code(row_scale, code) == scales[g]);
        weight.scales[first + g] = code;
      }
      return;
  }
}

float round_zero_point(float zero_point, ZeroStorage storage, int bits) {
  if (storage == ZeroStorage::f16) return half_to_float(float_to_half(zero_point));
  return std::clamp(std::nearbyint(zero_point), 0.0f, static_cast<float>((1 << bits) - 1));
}

void set_zero_points(GroupedIntegerWeight& weight, std::span<const float> zero_points) {
  assert(zero_points.size() == group_count(weight));
  if (weight.symmetric) return;
  if (weight.zero_storage == ZeroStorage::f16) {
    for (std::size_t g = 0; g < zero_points.size(); ++g) write_half(weight.zeros, g, zero_points[g]);
    return;
  }
  const std::vector<std::uint8_t> codes(zero_points.begin(), zero_points.end());
  pack_bits(codes, weight.bits, weight.zeros);
}

void set_permutation(GroupedIntegerWeight& weight, std::span<const std::uint32_t> permutation) {
  assert(weight.permuted && permutation.size() == weight.cols);
  const std::size_t width = has_wide_permutation(weight) ? 4 : 2;
  for (std::size_t j = 0; j < permutation.size(); ++j) {
    assert(permutation[j] < weight.cols);
    for (std::size_t byte = 0; byte < width; ++byte) {
      weight.permutation[width * j + byte] = static_cast<std::uint8_t>(permutation[j] >> (8 * byte));
    }
  }
}

std::vector<std::uint32_t> decode_permutation(const GroupedIntegerView& weight, const std::string& where) {
  std::vector<std::uint32_t> permutation(weight.cols);
  if (!weight.permuted) {
    std::iota(permutation.begin(), permutation.end(), 0u);
    return permutation;
  }
  std::vector<bool> seen(weight.cols, false);
  for (std::size_t j = 0; j < weight.cols; ++j) {
    permutation[j] = stored_column(weight, j);
    if (permutation[j] >= weight.cols || seen[permutation[j]]) {
      throw Error({where + ".permutation", fmt::format("{} at place {}", permutation[j], j),
                   fmt::format("each of 0 .. {} once", weight.cols - 1), "the file is damaged"});
    }
    seen[permutation[j]] = true;
  }
  return permutation;
}

void check_contents(const GroupedIntegerView& weight, const std::string& where) {
  if (weight.permuted) decode_permutation(weight, where);
}

std::vector<float> decode_scales(const GroupedIntegerView& weight) {
  std::vector<float> scales(group_count(weight));
  decode_scales(weight, 0, scales);
  return scales;
}

std::vector<float> decode_zero_points(const GroupedIntegerView& weight) {
  std::vector<float> zero_points(group_count(weight));
  decode_zero_points(weight, 0, zero_points);
  return zero_points;
}

void decode_rows(const GroupedIntegerView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out) {
  assert(row_begin <= weight.rows && row_count <= weight.rows - row_begin && out.size() == row_count * weight.cols);
  const std::size_t per_row = groups_per_row(weight);
  const std::size_t row_bytes = code_row_bytes(weight);
  const bool groups_begin_with_a_byte = weight.group_size % 8 == 0 || per_row == 1;
  std::vector<std::uint8_t> codes(groups_begin_with_a_byte ? 0 : weight.cols);
  // Scales and zero points are decoded for a few rows at a time: often enough to stay in the cache, seldom enough to be
  // cheap.
  constexpr std::size_t rows_together = 64;
  std::vector<float> scales;
  std::vector<float> zero_points;
  std::vector<float> stored_order(weight.permuted ? weight.cols : 0);
  std::vector<std::uint32_t> columns(stored_order.size());
  for (std::size_t j = 0; j < columns.size(); ++j) columns[j] = stored_column(weight, j);
  for (std::size_t i = row_begin; i < row_begin + row_count; ++i) {
    if ((i - row_begin) % rows_together == 0) {
      const std::size_t ahead = std::min(rows_together, row_begin + row_count - i);
      const std::size_t groups = weight.per_tensor ? 1 : ahead * per_row;
      scales.resize(groups);
      zero_points.resize(groups);
      decode_scales(weight, first_group(weight, i), scales);
      decode_zero_points(weight, first_group(weight, i), zero_points);
    }
    const std::size_t group = weight.per_tensor ? 0 : (i - row_begin) % rows_together * per_row;
    float* place = out.data() + (i - row_begin) * weight.cols;
    float* row = weight.permuted ? stored_order.data() : place;
    if (groups_begin_with_a_byte) {
      const std::size_t at = i * row_bytes;
      decode_packed_row(weight.codes.data() + at, weight.codes.size() - at, weight.bits, weight.cols, weight.group_size,
                        &scales[group], &zero_points[group], row);
    } else {
      unpack_row(weight, i, codes);
      for (std::size_t g = 0; g < per_row; ++g) {
        const std::size_t begin = g * weight.group_size;
        const std::size_t end = std::min(begin + weight.group_size, weight.cols);
        for (std::size_t j = begin; j < end; ++j) {
          row[j] = scales[group + g] * (static_cast<float>(codes[j]) - zero_points[group + g]);
        }
      }
    }
    for (std::size_t j = 0; j < columns.size(); ++j) place[columns[j]] = row[j];
  }
}

}  // namespace lcomp
