#include "lcomp/formats/codebook.h"

#include <cassert>
#include <cstring>

#include "formats/code_matrix.h"
#include "formats/decode_groups.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/column_permutation.h"
#include "lcomp/formats/group_scales.h"

namespace lcomp {
namespace {

bool is_shared(const CodebookLayout& layout) { return layout.scale_storage.has_value(); }

ScaleShape scale_shape(const CodebookLayout& layout) {
  return {layout.rows, groups_per_row(layout), layout.scale_storage.value()};
}

// The bytes of a part, of a weight or a view.
template <typename Weight>
auto& codebook_part(Weight& weight, std::string_view suffix) {
  if (suffix == ".codes") return weight.codes;
  if (suffix == ".scales") return weight.scales;
  if (suffix == ".row_scales") return weight.row_scales;
  if (suffix == ".permutation") return weight.permutation;
  assert(suffix == ".codebooks");
  return weight.codebooks;
}

}  // namespace

void check_layout(const CodebookLayout& layout, const std::string& where) {
  check_code_matrix(layout.rows, layout.cols, layout.bits, layout.group_size, where);
}

std::size_t groups_per_row(const CodebookLayout& layout) { return divide_up(layout.cols, layout.group_size); }

std::size_t levels_per_codebook(const CodebookLayout& layout) { return std::size_t{1} << layout.bits; }

std::vector<PartDeclaration> declared_parts(const CodebookLayout& layout, const std::string& where) {
  check_layout(layout, where);
  const std::size_t levels = levels_per_codebook(layout);
  std::vector<PartDeclaration> parts;
  parts.push_back(declare_codes(layout.rows, layout.cols, layout.bits, where));
  if (is_shared(layout)) {
    parts.push_back(declare_part(".codebooks", DataType::f16, {1, 1, levels}, where));
    declare_scales(scale_shape(layout), where, parts);
  } else {
    parts.push_back(declare_part(".codebooks", DataType::f16, {layout.rows, groups_per_row(layout), levels}, where));
  }
  if (layout.permuted) parts.push_back(declare_permutation(layout.cols, where));
  return parts;
}

CodebookView view(const CodebookWeight& weight) {
  return {static_cast<const CodebookLayout&>(weight),
          weight.codes,
          weight.codebooks,
          weight.scales,
          weight.row_scales,
          weight.permutation};
}

CodebookView empty_view(const CodebookLayout& layout) { return {layout, {}, {}, {}, {}, {}}; }

CodebookWeight empty_weight(const CodebookLayout& layout) {
  CodebookWeight weight;
  static_cast<CodebookLayout&>(weight) = layout;
  return weight;
}

std::span<const std::uint8_t>& part_data(CodebookView& weight, std::string_view suffix) {
  return codebook_part(weight, suffix);
}
std::vector<std::uint8_t>& part_data(CodebookWeight& weight, std::string_view suffix) {
  return codebook_part(weight, suffix);
}

CodebookWeight make_codebook(const CodebookLayout& layout, const std::string& where) {
  CodebookWeight weight = empty_weight(layout);
  for (const PartDeclaration& part : declared_parts(layout, where)) part_data(weight, part.suffix).resize(part.bytes);
  return weight;
}

void pack_row(CodebookWeight& weight, std::size_t row, std::span<const std::uint8_t> codes) {
  assert(row < weight.rows && codes.size() == weight.cols);
  pack_code_row(codes, weight.bits, row, weight.codes);
}

void unpack_row(const CodebookView& weight, std::size_t row, std::span<std::uint8_t> codes) {
  assert(row < weight.rows && codes.size() == weight.cols);
  unpack_code_row(weight.codes, weight.bits, row, codes);
}

void set_levels(CodebookWeight& weight, std::size_t index, std::span<const float> levels) {
  assert(levels.size() == levels_per_codebook(weight));
  for (std::size_t k = 0; k < levels.size(); ++k) write_half(weight.codebooks, index * levels.size() + k, levels[k]);
}

void decode_levels(const CodebookView& weight, std::size_t index, std::span<float> levels) {
  assert(levels.size() == levels_per_codebook(weight));
  for (std::size_t k = 0; k < levels.size(); ++k) levels[k] = read_half(weight.codebooks, index * levels.size() + k);
}

void set_scales(CodebookWeight& weight, std::size_t row, std::span<const float> scales, float row_scale) {
  write_scales(scale_shape(weight), row, scales, row_scale, weight.scales, weight.row_scales);
}

std::vector<float> decode_scales(const CodebookView& weight) {
  std::vector<float> scales(weight.rows * groups_per_row(weight));
  read_scales(scale_shape(weight), weight.scales, weight.row_scales, 0, scales);
  return scales;
}

void set_permutation(CodebookWeight& weight, std::span<const std::uint32_t> permutation) {
  assert(weight.permuted);
  write_permutation(permutation, weight.permutation);
}

void check_contents(const CodebookView& weight, const std::string& where) {
  if (weight.permuted) read_permutation(weight.permutation, weight.cols, where);
}

void decode_rows(const CodebookView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out) {
  std::vector<float> levels(levels_per_codebook(weight));
  if (!is_shared(weight)) {
    const std::size_t per_row = groups_per_row(weight);
    decode_groups(weight, row_begin, row_count, out,
                  [&](std::size_t row, std::size_t group, std::span<const std::uint8_t> codes, std::span<float> to) {
                    decode_levels(weight, row * per_row + group, levels);
                    look_up(codes, levels, 1, to);
                  });
    return;
  }
  decode_levels(weight, 0, levels);
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
