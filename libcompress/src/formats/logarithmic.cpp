#include "lcomp/formats/logarithmic.h"

#include <cassert>
#include <cstring>

#include <fmt/format.h>

#include "formats/code_matrix.h"
#include "formats/decode_groups.h"
#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/column_permutation.h"
#include "lcomp/formats/group_scales.h"

namespace lcomp {
namespace {

ScaleShape scale_shape(const LogarithmicLayout& layout) {
  return {layout.rows, groups_per_row(layout), layout.scale_storage};
}

bool is_base(float value) { return value > 1 && value <= largest_logarithm_base; }

// The bytes of a part, of a weight or a view.
template <typename Weight>
auto& logarithmic_part(Weight& weight, std::string_view suffix) {
  if (suffix == ".codes") return weight.codes;
  if (suffix == ".scales") return weight.scales;
  if (suffix == ".row_scales") return weight.row_scales;
  if (suffix == ".permutation") return weight.permutation;
  assert(suffix == ".base");
  return weight.base;
}

}  // namespace

void check_layout(const LogarithmicLayout& layout, const std::string& where) {
  check_code_matrix(layout.rows, layout.cols, layout.bits, layout.group_size, where);
}

std::size_t groups_per_row(const LogarithmicLayout& layout) { return divide_up(layout.cols, layout.group_size); }

std::vector<float> logarithmic_levels(int bits, bool zero_level, float base) {
  const std::size_t half = std::size_t{1} << (bits - 1);
  std::vector<float> levels(2 * half);
  double power = 1;
  for (std::size_t k = 0; k < half; ++k) {
    levels[k] = static_cast<float>(power);
    levels[half + k] = -levels[k];
    power /= static_cast<double>(base);
  }
  if (zero_level) levels[half - 1] = 0;
  return levels;
}

std::vector<PartDeclaration> declared_parts(const LogarithmicLayout& layout, const std::string& where) {
  check_layout(layout, where);
  std::vector<PartDeclaration> parts;
  parts.push_back(declare_codes(layout.rows, layout.cols, layout.bits, where));
  declare_scales(scale_shape(layout), where, parts);
  parts.push_back(declare_part(".base", DataType::f32, {1}, where));
  if (layout.permuted) parts.push_back(declare_permutation(layout.cols, where));
  return parts;
}

LogarithmicView view(const LogarithmicWeight& weight) {
  return {static_cast<const LogarithmicLayout&>(weight),
          weight.codes,
          weight.scales,
          weight.row_scales,
          weight.base,
          weight.permutation};
}

LogarithmicView empty_view(const LogarithmicLayout& layout) { return {layout, {}, {}, {}, {}, {}}; }

LogarithmicWeight empty_weight(const LogarithmicLayout& layout) {
  LogarithmicWeight weight;
  static_cast<LogarithmicLayout&>(weight) = layout;
  return weight;
}

std::span<const std::uint8_t>& part_data(LogarithmicView& weight, std::string_view suffix) {
  return logarithmic_part(weight, suffix);
}
std::vector<std::uint8_t>& part_data(LogarithmicWeight& weight, std::string_view suffix) {
  return logarithmic_part(weight, suffix);
}

LogarithmicWeight make_logarithmic(const LogarithmicLayout& layout, const std::string& where) {
  LogarithmicWeight weight = empty_weight(layout);
  for (const PartDeclaration& part : declared_parts(layout, where)) part_data(weight, part.suffix).resize(part.bytes);
  return weight;
}

void pack_row(LogarithmicWeight& weight, std::size_t row, std::span<const std::uint8_t> codes) {
  assert(row < weight.rows && codes.size() == weight.cols);
  pack_code_row(codes, weight.bits, row, weight.codes);
}

void unpack_row(const LogarithmicView& weight, std::size_t row, std::span<std::uint8_t> codes) {
  assert(row < weight.rows && codes.size() == weight.cols);
  unpack_code_row(weight.codes, weight.bits, row, codes);
}

void set_scales(LogarithmicWeight& weight, std::size_t row, std::span<const float> scales, float row_scale) {
  write_scales(scale_shape(weight), row, scales, row_scale, weight.scales, weight.row_scales);
}

std::vector<float> decode_scales(const LogarithmicView& weight) {
  std::vector<float> scales(weight.rows * groups_per_row(weight));
  read_scales(scale_shape(weight), weight.scales, weight.row_scales, 0, scales);
  return scales;
}

void set_base(LogarithmicWeight& weight, float base) {
  assert(is_base(base));
  std::memcpy(weight.base.data(), &base, sizeof base);
}

float base(const LogarithmicView& weight) {
  float value = 0;
  std::memcpy(&value, weight.base.data(), sizeof value);
  return value;
}

void set_permutation(LogarithmicWeight& weight, std::span<const std::uint32_t> permutation) {
  assert(weight.permuted);
  write_permutation(permutation, weight.permutation);
}

void check_contents(const LogarithmicView& weight, const std::string& where) {
  if (!is_base(base(weight))) {
    throw Error({where + ".base", fmt::format("{}", base(weight)),
                 fmt::format("more than 1 and at most {}", largest_logarithm_base), "the file is damaged"});
  }
  if (weight.permuted) read_permutation(weight.permutation, weight.cols, where);
}

void decode_rows(const LogarithmicView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out) {
  const std::vector<float> levels = logarithmic_levels(weight.bits, weight.zero_level, base(weight));
  const ScaleShape shape = scale_shape(weight);
  std::vector<float> scales(shape.per_row);
  decode_groups(weight, row_begin, row_count, out,
                [&](std::size_t row, std::size_t group, std::span<const std::uint8_t> codes, std::span<float> to) {
                  if (group == 0) {
                    read_scales(shape, weight.scales, weight.row_scales, row * shape.per_row, scales);
                  }
                  look_up(codes, levels, scales[group], to);
                });
}

}  // namespace lcomp
