#include "lcomp/formats/grouped_integer.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "formats/bit_packing.h"
#include "formats/code_matrix.h"
#include "formats/grouped_integer_decode.h"
#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/column_permutation.h"

namespace lcomp {
namespace {

ScaleShape scale_shape(const GroupedIntegerLayout& layout) {
  return {layout.per_tensor ? 1 : layout.rows, groups_per_row(layout), layout.scale_storage};
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

// The bytes of a part, of a weight or a view.
template <typename Weight>
auto& integer_part(Weight& weight, std::string_view suffix) {
  if (suffix == ".codes") return weight.codes;
  if (suffix == ".scales") return weight.scales;
  if (suffix == ".row_scales") return weight.row_scales;
  if (suffix == ".permutation") return weight.permutation;
  assert(suffix == ".zeros");
  return weight.zeros;
}

}  // namespace

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
  check_code_matrix(layout.rows, layout.cols, layout.bits, layout.group_size, where);
  if (layout.symmetric && layout.zero_storage != ZeroStorage::integer) {
    throw Error({where, "f16 zero points of a symmetric weight", "an asymmetric one, which stores zero points", ""});
  }
  if (layout.per_tensor && layout.group_size != layout.cols) {
    throw Error({where, fmt::format("groups of {} columns", layout.group_size),
                 fmt::format("{} for a scale per tensor", layout.cols), ""});
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

std::size_t code_row_bytes(const GroupedIntegerLayout& layout) { return code_row_bytes(layout.cols, layout.bits); }

std::vector<PartDeclaration> declared_parts(const GroupedIntegerLayout& layout, const std::string& where) {
  check_layout(layout, where);
  std::vector<PartDeclaration> parts;
  parts.push_back(declare_codes(layout.rows, layout.cols, layout.bits, where));
  declare_scales(scale_shape(layout), where, parts);
  if (!layout.symmetric && layout.zero_storage == ZeroStorage::f16) {
    const ScaleShape shape = scale_shape(layout);
    parts.push_back(declare_part(".zeros", DataType::f16, {shape.rows, shape.per_row}, where));
  } else if (!layout.symmetric) {
    parts.push_back(declare_part(".zeros", DataType::u8, {packed_bytes(group_count(layout), layout.bits)}, where));
  }
  if (layout.permuted) parts.push_back(declare_permutation(layout.cols, where));
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

GroupedIntegerWeight empty_weight(const GroupedIntegerLayout& layout) {
  GroupedIntegerWeight weight;
  static_cast<GroupedIntegerLayout&>(weight) = layout;
  return weight;
}

std::span<const std::uint8_t>& part_data(GroupedIntegerView& weight, std::string_view suffix) {
  return integer_part(weight, suffix);
}
std::vector<std::uint8_t>& part_data(GroupedIntegerWeight& weight, std::string_view suffix) {
  return integer_part(weight, suffix);
}

GroupedIntegerWeight make_grouped_integer(const GroupedIntegerLayout& layout, const std::string& where) {
  GroupedIntegerWeight weight = empty_weight(layout);
  for (const PartDeclaration& part : declared_parts(layout, where)) part_data(weight, part.suffix).resize(part.bytes);
  return weight;
}

void pack_row(GroupedIntegerWeight& weight, std::size_t row, std::span<const std::uint8_t> codes) {
  assert(row < weight.rows && codes.size() == weight.cols);
  pack_code_row(codes, weight.bits, row, weight.codes);
}

void unpack_row(const GroupedIntegerView& weight, std::size_t row, std::span<std::uint8_t> codes) {
  assert(row < weight.rows && codes.size() == weight.cols);
  unpack_code_row(weight.codes, weight.bits, row, codes);
}

float implied_zero_point(int bits) { return bits == 1 ? 0.5f : static_cast<float>(1 << (bits - 1)); }

void set_scales(GroupedIntegerWeight& weight, std::size_t row, std::span<const float> scales, float row_scale) {
  write_scales(scale_shape(weight), row, scales, row_scale, weight.scales, weight.row_scales);
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
  write_permutation(permutation, weight.permutation);
}

std::vector<std::uint32_t> decode_permutation(const GroupedIntegerView& weight, const std::string& where) {
  if (weight.permuted) return read_permutation(weight.permutation, weight.cols, where);
  std::vector<std::uint32_t> permutation(weight.cols);
  std::iota(permutation.begin(), permutation.end(), 0u);
  return permutation;
}

void check_contents(const GroupedIntegerView& weight, const std::string& where) {
  if (weight.permuted) read_permutation(weight.permutation, weight.cols, where);
}

std::vector<float> decode_scales(const GroupedIntegerView& weight) {
  std::vector<float> scales(group_count(weight));
  read_scales(scale_shape(weight), weight.scales, weight.row_scales, 0, scales);
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
  for (std::size_t j = 0; j < columns.size(); ++j) columns[j] = stored_column(weight.permutation, weight.cols, j);
  for (std::size_t i = row_begin; i < row_begin + row_count; ++i) {
    if ((i - row_begin) % rows_together == 0) {
      const std::size_t ahead = std::min(rows_together, row_begin + row_count - i);
      const std::size_t groups = weight.per_tensor ? 1 : ahead * per_row;
      scales.resize(groups);
      zero_points.resize(groups);
      read_scales(scale_shape(weight), weight.scales, weight.row_scales, first_group(weight, i), scales);
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
