#include "lcomp/formats/transformed_weight.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/formats/hadamard.h"
#include "lcomp/formats/logarithmic.h"

namespace lcomp {
namespace {

constexpr std::string_view dense_base_suffix = ".values";

void check_block(std::size_t block, std::size_t size, const char* side, const std::string& where) {
  if (block == 0 || (is_hadamard_order(block) && size % block == 0)) return;
  throw Error({where, fmt::format("{} rotated in blocks of {}", side, block),
               fmt::format("blocks that divide {}: a power of two, or 3, 5, 7 or 9 times one from 4 on", size), ""});
}

void require_no_bits_after(std::span<const std::uint8_t> bits, std::size_t size, const std::string& where) {
  if (size % 8 == 0 || bits.back() >> (size % 8) == 0) return;
  throw Error(
      {where, fmt::format("the last byte {:#04x}", bits.back()), fmt::format("{} bits", size), "the file is damaged"});
}

std::vector<float> decode_input_scales(const TransformedView& weight) {
  std::vector<std::uint16_t> halves(weight.cols);
  std::memcpy(halves.data(), weight.input_scales.data(), weight.input_scales.size());
  std::vector<float> scales(weight.cols);
  half_to_float(halves, scales);
  return scales;
}

// Rows of a block of rotated outputs, all of them at once.
Matrix decode_output_block(const TransformedView& weight, std::size_t block_begin) {
  const std::size_t block = weight.transform.output_block;
  Matrix rows(block, weight.cols);
  decode_rows(as_view(weight.base), block_begin, block, rows.span());
  hadamard_along_columns(rows.view(), block, HadamardProduct::transposed);
  for (std::size_t i = 0; i < block; ++i) {
    const std::size_t at = block_begin + i;
    if ((weight.output_signs[at / 8] >> (at % 8) & 1) == 0) continue;
    for (float& w : rows.row(i)) w = -w;
  }
  return rows;
}

// The bytes of a part, of a weight or a view.
template <typename Bytes, typename Weight>
Bytes& part_of(Weight& weight, std::string_view suffix) {
  if (suffix == ".input_scales") return weight.input_scales;
  if (suffix == ".input_signs") return weight.input_signs;
  if (suffix == ".output_signs") return weight.output_signs;
  constexpr std::size_t dense = 0;  // the first of the plain formats
  if (suffix == dense_base_suffix && weight.base.index() == dense) suffix = "";
  return std::visit([suffix](auto& base) -> Bytes& { return part_data(base, suffix); }, weight.base);
}

}  // namespace

void check_layout(const TransformedLayout& layout, const std::string& where) {
  if (layout.transform == WeightTransform{}) throw Error({where, "a transform that does nothing", "", ""});
  check_block(layout.transform.input_block, layout.cols, "inputs", where);
  check_block(layout.transform.output_block, layout.rows, "outputs", where);
  const WeightLayout base = as_layout(layout.base);
  if (rows(base) != layout.rows || cols(base) != layout.cols) {
    throw Error({where, fmt::format("a base of {} x {}", rows(base), cols(base)),
                 fmt::format("{} x {}", layout.rows, layout.cols), ""});
  }
}

std::vector<PartDeclaration> declared_parts(const TransformedLayout& layout, const std::string& where) {
  check_layout(layout, where);
  std::vector<PartDeclaration> parts = declared_parts(as_layout(layout.base), where);
  for (PartDeclaration& part : parts) {
    if (part.suffix.empty()) part.suffix = dense_base_suffix;
  }
  const auto declare = [&](const char* suffix, DataType type, std::size_t size) {
    parts.push_back(declare_part(suffix, type, {size}, where));
  };
  if (layout.transform.input_scaled) declare(".input_scales", DataType::f16, layout.cols);
  if (layout.transform.input_block > 0) declare(".input_signs", DataType::u8, divide_up(layout.cols, std::size_t{8}));
  if (layout.transform.output_block > 0) declare(".output_signs", DataType::u8, divide_up(layout.rows, std::size_t{8}));
  return parts;
}

TransformedLayout layout(const TransformedView& weight) {
  return {weight.rows, weight.cols, weight.transform, as_plain(layout(as_view(weight.base)))};
}

TransformedView view(const TransformedWeight& weight) {
  return {weight.rows,         weight.cols,
          weight.transform,    std::visit([](const auto& base) -> PlainView { return view(base); }, weight.base),
          weight.input_scales, weight.input_signs,
          weight.output_signs};
}

TransformedView empty_view(const TransformedLayout& layout) {
  const auto base = std::visit([](const auto& of_format) -> PlainView { return empty_view(of_format); }, layout.base);
  return {layout.rows, layout.cols, layout.transform, base, {}, {}, {}};
}

TransformedWeight empty_weight(const TransformedLayout& layout) {
  const auto base =
      std::visit([](const auto& of_format) -> PlainWeight { return empty_weight(of_format); }, layout.base);
  return {layout.rows, layout.cols, layout.transform, base, {}, {}, {}};
}

std::span<const std::uint8_t>& part_data(TransformedView& weight, std::string_view suffix) {
  return part_of<std::span<const std::uint8_t>>(weight, suffix);
}
std::vector<std::uint8_t>& part_data(TransformedWeight& weight, std::string_view suffix) {
  return part_of<std::vector<std::uint8_t>>(weight, suffix);
}

void check_contents(const TransformedView& weight, const std::string& where) {
  std::visit([&](const auto& base) { check_contents(base, where); }, weight.base);
  if (weight.transform.input_scaled) {
    const std::vector<float> scales = decode_input_scales(weight);
    for (std::size_t j = 0; j < scales.size(); ++j) {
      if (std::isfinite(scales[j]) && scales[j] > 0) continue;
      throw Error({fmt::format("{}.input_scales, column {}", where, j), fmt::format("the factor {}", scales[j]),
                   "a positive number", "the file is damaged"});
    }
  }
  if (weight.transform.input_block > 0) require_no_bits_after(weight.input_signs, weight.cols, where + ".input_signs");
  if (weight.transform.output_block > 0) {
    require_no_bits_after(weight.output_signs, weight.rows, where + ".output_signs");
  }
}

void decode_rows(const TransformedView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out) {
  assert(row_begin <= weight.rows && row_count <= weight.rows - row_begin && out.size() == row_count * weight.cols);
  if (out.empty()) return;
  const MatrixView<float> rows(out.data(), row_count, weight.cols);
  if (const std::size_t block = weight.transform.output_block; block == 0) {
    decode_rows(as_view(weight.base), row_begin, row_count, out);
  } else {
    const std::size_t row_end = row_begin + row_count;
    for (std::size_t begin = row_begin / block * block; begin < row_end; begin += block) {
      const Matrix decoded = decode_output_block(weight, begin);
      const std::size_t first = std::max(begin, row_begin);
      const std::size_t last = std::min(begin + block, row_end);
      std::copy_n(decoded.row(first - begin).data(), (last - first) * weight.cols,
                  &out[(first - row_begin) * weight.cols]);
    }
  }
  if (weight.transform.input_block > 0) {
    hadamard_along_rows(rows, weight.transform.input_block, HadamardProduct::transposed);
  }
  const std::vector<float> factors = column_factors(weight);
  for (std::size_t i = 0; !factors.empty() && i < row_count; ++i) {
    float* row = rows.row(i).data();
    for (std::size_t j = 0; j < factors.size(); ++j) row[j] *= factors[j];
  }
}

std::vector<float> column_factors(const TransformedView& weight) {
  std::vector<float> factors;
  if (weight.transform.input_block > 0) factors = decode_signs(weight.input_signs, weight.cols);
  if (!weight.transform.input_scaled) return factors;
  const std::vector<float> scales = decode_input_scales(weight);
  if (factors.empty()) return scales;
  for (std::size_t j = 0; j < factors.size(); ++j) factors[j] *= scales[j];
  return factors;
}

std::vector<float> decode_signs(std::span<const std::uint8_t> bits, std::size_t size) {
  assert(bits.size() == divide_up(size, std::size_t{8}));
  std::vector<float> signs(size);
  for (std::size_t j = 0; j < size; ++j) signs[j] = (bits[j / 8] >> (j % 8) & 1) != 0 ? -1.0f : 1.0f;
  return signs;
}

std::vector<std::uint8_t> encode_signs(std::span<const float> signs) {
  std::vector<std::uint8_t> bits(divide_up(signs.size(), std::size_t{8}), 0);
  for (std::size_t j = 0; j < signs.size(); ++j) {
    if (signs[j] < 0) bits[j / 8] |= static_cast<std::uint8_t>(1 << (j % 8));
  }
  return bits;
}

WeightLayout as_layout(const PlainLayout& layout) {
  return std::visit([](const auto& of_format) -> WeightLayout { return of_format; }, layout);
}

CompressedWeightView as_view(const PlainView& weight) {
  return std::visit([](const auto& of_format) -> CompressedWeightView { return of_format; }, weight);
}

PlainLayout as_plain(const WeightLayout& layout) {
  return std::visit(
      [](const auto& of_format) -> PlainLayout {
        if constexpr (std::is_constructible_v<PlainLayout, decltype(of_format)>) {
          return of_format;
        } else {
          assert(false);
          return {};
        }
      },
      layout);
}

PlainWeight as_plain(CompressedWeight weight) {
  return std::visit(
      [](auto&& of_format) -> PlainWeight {
        if constexpr (std::is_constructible_v<PlainWeight, decltype(of_format)>) {
          return std::forward<decltype(of_format)>(of_format);
        } else {
          assert(false);
          return {};
        }
      },
      std::move(weight));
}

}  // namespace lcomp
