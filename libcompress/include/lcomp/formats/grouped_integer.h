#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/formats/group_scales.h"
#include "lcomp/formats/weight_part.h"

namespace lcomp {

// Uniform integer codes with a scale and (asymmetric) a zero point per group of `group_size` consecutive columns of a
// row, or for the whole weight (per_tensor).
//   w^_ij = scale_g * (code_ij - zero_point_g),  g = (i, j / group_size)
// in float32: the product rounded once, the difference exact where zero points are integers. Parts, in this order:
//   codes        rows * ceil(cols * bits / 8) bytes (code_matrix.h)
//   scales, row_scales   groups scales (group_scales.h)
//   zeros        asymmetric only: ceil(groups * bits / 8) bytes: one bit stream (bit_packing.h) for the whole weight,
//                row-major; or groups values f16, row-major
//   permutation  permuted only (column_permutation.h): the columns that the lines above count are stored ones
// with groups = rows * ceil(cols / group_size), or 1 when per_tensor. A per-tensor weight has one row_scale.
// Symmetric weights store no zero point: it is 2^(bits-1), and 1/2 for 1 bit, where the levels are -scale/2, scale/2.

std::string_view name(ZeroStorage storage);  // "integer", "f16"

// The layout's own promises: bits 1 .. 8, at least one row and column, 1 <= group_size <= cols, and group_size == cols
// when per_tensor; zero points of a symmetric weight are integers. Throws Error naming `where`.
void check_layout(const GroupedIntegerLayout& layout, const std::string& where);

std::size_t groups_per_row(const GroupedIntegerLayout& layout);  // 1 when per_tensor
std::size_t group_count(const GroupedIntegerLayout& layout);     // scales of the whole weight
// Index of the group that column 0 of `row` belongs to; later groups of the row follow.
std::size_t first_group(const GroupedIntegerLayout& layout, std::size_t row);
std::size_t code_row_bytes(const GroupedIntegerLayout& layout);

// The parts listed above, with their sizes. Throws as check_layout, or where a size overflows.
std::vector<PartDeclaration> declared_parts(const GroupedIntegerLayout& layout, const std::string& where);

GroupedIntegerView view(const GroupedIntegerWeight& weight);
GroupedIntegerView empty_view(const GroupedIntegerLayout& layout);
GroupedIntegerWeight empty_weight(const GroupedIntegerLayout& layout);
// The bytes of the part with this suffix, which must be one of declared_parts().
std::span<const std::uint8_t>& part_data(GroupedIntegerView& weight, std::string_view suffix);
std::vector<std::uint8_t>& part_data(GroupedIntegerWeight& weight, std::string_view suffix);

// A weight of this layout with all bytes zero. Throws as declared_parts.
GroupedIntegerWeight make_grouped_integer(const GroupedIntegerLayout& layout, const std::string& where);

// Packs the codes of one row, codes.size() == cols. Different rows may be packed from different threads.
void pack_row(GroupedIntegerWeight& weight, std::size_t row, std::span<const std::uint8_t> codes);
// The codes of one row, [cols], in the order that they are stored in.
void unpack_row(const GroupedIntegerView& weight, std::size_t row, std::span<std::uint8_t> codes);

// Stores the scales of one row's groups, [groups_per_row], which must be results of round_scale() with the same
// row_scale. For a weight with one scale per tensor, row 0 stands for all. Different rows may be set from different
// threads.
void set_scales(GroupedIntegerWeight& weight, std::size_t row, std::span<const float> scales, float row_scale);
// The value nearest to a finite zero point that `storage` holds; infinite where f16 overflows.
float round_zero_point(float zero_point, ZeroStorage storage, int bits);
// Stores the zero points of all groups, [group_count], each a result of round_zero_point(); nothing for a symmetric
// weight.
void set_zero_points(GroupedIntegerWeight& weight, std::span<const float> zero_points);
float implied_zero_point(int bits);  // of symmetric weights
// Stores the column that each stored column is, [cols]: a permutation of 0 .. cols - 1; the weight must be permuted.
void set_permutation(GroupedIntegerWeight& weight, std::span<const std::uint32_t> permutation);
// The stored permutation; 0, 1, 2, ... for a weight that is not permuted. Throws Error naming `where` when the stored
// values are none.
std::vector<std::uint32_t> decode_permutation(const GroupedIntegerView& weight, const std::string& where);
// Checks the contents that sizes do not show, here the permutation. Throws Error naming `where`.
void check_contents(const GroupedIntegerView& weight, const std::string& where);

// All scales and zero points as they decode, [group_count].
std::vector<float> decode_scales(const GroupedIntegerView& weight);
std::vector<float> decode_zero_points(const GroupedIntegerView& weight);

// Decodes rows [row_begin, row_begin + row_count) into out, row_count * cols values, columns in the weight's own order;
// the sizes are asserted, and a permutation must be one (check_contents). Vectorised (Highway, chosen at run time) with
// the same results everywhere. One thread.
void decode_rows(const GroupedIntegerView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out);

}  // namespace lcomp
