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

// Codes are indices into tables of 2^bits levels, f16. Either each group of `group_size` consecutive columns of a row
// has a codebook of its own,
//   w^_ij = codebook_g[code_ij],  g = (i, j / group_size)
// or, with scales (layout.scale_storage set), one codebook is shared by the weight:
//   w^_ij = scale_g * codebook[code_ij]      in float32, rounded once
//
// Parts, in this order:
//   codes        rows * ceil(cols * bits / 8) bytes (code_matrix.h)
//   codebooks    f16 little-endian: [rows, groups a row, 2^bits], or [1, 1, 2^bits] when shared
//   scales, row_scales   shared only: one scale per group (group_scales.h)
//   permutation  permuted only: as in column_permutation.h

// bits 1 .. 8, at least one row and column, 1 <= group_size <= cols. Throws Error naming `where`.
void check_layout(const CodebookLayout& layout, const std::string& where);

std::size_t groups_per_row(const CodebookLayout& layout);
std::size_t levels_per_codebook(const CodebookLayout& layout);  // 2^bits

std::vector<PartDeclaration> declared_parts(const CodebookLayout& layout, const std::string& where);

CodebookView view(const CodebookWeight& weight);
CodebookView empty_view(const CodebookLayout& layout);
CodebookWeight empty_weight(const CodebookLayout& layout);
// The bytes of the part with this suffix, which must be one of declared_parts().
std::span<const std::uint8_t>& part_data(CodebookView& weight, std::string_view suffix);
std::vector<std::uint8_t>& part_data(CodebookWeight& weight, std::string_view suffix);

// A weight of this layout with all bytes zero. Throws as declared_parts.
CodebookWeight make_codebook(const CodebookLayout& layout, const std::string& where);

// Packs and unpacks the codes of one row, [cols] in stored order. Several threads may write different rows.
void pack_row(CodebookWeight& weight, std::size_t row, std::span<const std::uint8_t> codes);
void unpack_row(const CodebookView& weight, std::size_t row, std::span<std::uint8_t> codes);
// Levels of codebook `index`, [2^bits], f16 values (asserted): codebook row * groups_per_row + group, or 0 when shared.
void set_levels(CodebookWeight& weight, std::size_t index, std::span<const float> levels);
void decode_levels(const CodebookView& weight, std::size_t index, std::span<float> levels);
// Shared codebooks only: scales of one row's groups, results of round_scale() with the same row_scale.
void set_scales(CodebookWeight& weight, std::size_t row, std::span<const float> scales, float row_scale);
std::vector<float> decode_scales(const CodebookView& weight);  // [rows * groups_per_row]
void set_permutation(CodebookWeight& weight, std::span<const std::uint32_t> permutation);

// Checks the contents that sizes do not show, here the permutation. Throws Error naming `where`.
void check_contents(const CodebookView& weight, const std::string& where);

// Decodes rows [row_begin, row_begin + row_count) into out, row_count * cols values, columns in the weight's own order.
// The contents must have been checked. One thread.
void decode_rows(const CodebookView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out);

}  // namespace lcomp
