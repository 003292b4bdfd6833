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

// Signed powers of a base with a scale per group of `group_size` consecutive columns of a row. With h = 2^(bits-1):
//   w^_ij = scale_g * level(code_ij),  g = (i, j / group_size)
//   level(code) = base^-code for code < h,  -base^-(code - h) for code >= h
// so that the highest bit is the sign and the others the exponent. With a zero level, level(h - 1) = 0 in place of
// base^-(h-1): one of the two smallest levels makes room. Levels are float32: base^-k is 1 divided k times by the base
// in double, then rounded; the product with the scale is rounded once. One bit has the levels -scale and scale (with a
// zero level: -scale and 0).
//
// Parts, in this order:
//   codes        rows * ceil(cols * bits / 8) bytes (code_matrix.h)
//   scales, row_scales   one scale per group (group_scales.h)
//   base         f32, one for the weight, > 1 and <= 4
//   permutation  permuted only: as in column_permutation.h

inline constexpr float largest_logarithm_base = 4;

// bits 1 .. 8, at least one row and column, 1 <= group_size <= cols. Throws Error naming `where`.
void check_layout(const LogarithmicLayout& layout, const std::string& where);

std::size_t groups_per_row(const LogarithmicLayout& layout);

// The level of each code, [2^bits], for scale 1.
std::vector<float> logarithmic_levels(int bits, bool zero_level, float base);

std::vector<PartDeclaration> declared_parts(const LogarithmicLayout& layout, const std::string& where);

LogarithmicView view(const LogarithmicWeight& weight);
LogarithmicView empty_view(const LogarithmicLayout& layout);
LogarithmicWeight empty_weight(const LogarithmicLayout& layout);
// The bytes of the part with this suffix, which must be one of declared_parts().
std::span<const std::uint8_t>& part_data(LogarithmicView& weight, std::string_view suffix);
std::vector<std::uint8_t>& part_data(LogarithmicWeight& weight, std::string_view suffix);

// A weight of this layout with all bytes zero. Throws as declared_parts.
LogarithmicWeight make_logarithmic(const LogarithmicLayout& layout, const std::string& where);

// Packs and unpacks the codes of one row, [cols] in stored order. Several threads may write different rows.
void pack_row(LogarithmicWeight& weight, std::size_t row, std::span<const std::uint8_t> codes);
void unpack_row(const LogarithmicView& weight, std::size_t row, std::span<std::uint8_t> codes);
// Scales of one row's groups, results of round_scale() with the same row_scale.
void set_scales(LogarithmicWeight& weight, std::size_t row, std::span<const float> scales, float row_scale);
std::vector<float> decode_scales(const LogarithmicView& weight);  // [rows * groups_per_row]
void set_base(LogarithmicWeight& weight, float base);             // 1 < base <= 4, asserted
float base(const LogarithmicView& weight);
void set_permutation(LogarithmicWeight& weight, std::span<const std::uint32_t> permutation);

// Checks the contents that sizes do not show, here the base and the permutation. Throws Error naming `where`.
void check_contents(const LogarithmicView& weight, const std::string& where);

// Decodes rows [row_begin, row_begin + row_count) into out, row_count * cols values, columns in the weight's own order.
// The contents must have been checked. One thread.
void decode_rows(const LogarithmicView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out);

}  // namespace lcomp
