#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/formats/weight_part.h"

namespace lcomp {

// A weight that is stored in another basis of its inputs and outputs, where it is easier to round; it decodes to the
// weight in its own basis.
//   w^ = S_out H_out^T base H_in S_in diag(c)
// H_in: block-diagonal, a Hadamard matrix (hadamard.h) of order input_block for each input_block consecutive columns;
// S_in: diagonal, 1 or -1 a column; c: a factor a column; H_out, S_out: the same for rows. What is absent is the
// identity. In float32, as: base decoded, H_out^T along columns, H_in^T along each row (x H = H^T x^T), the signs, c.
//
// Parts: those of the base (a dense base's only part gets the suffix ".values": it is not the tensor itself), then
//   input_scales  input_scaled only: cols values f16, little-endian: c
//   input_signs   input_block > 0 only: ceil(cols / 8) bytes: bit j % 8 of byte j / 8 is set when the sign of column j
//                 is -1; unused bits are zero
//   output_signs  output_block > 0 only: the same for rows, ceil(rows / 8) bytes
// There is no transform of a transform: a base is one of the plain formats.

// Throws Error naming `where`: no transform at all, a block that doesn't divide its side or has no Hadamard matrix, a
// base of another shape.
void check_layout(const TransformedLayout& layout, const std::string& where);

std::vector<PartDeclaration> declared_parts(const TransformedLayout& layout, const std::string& where);

TransformedLayout layout(const TransformedView& weight);
TransformedView view(const TransformedWeight& weight);
TransformedView empty_view(const TransformedLayout& layout);
TransformedWeight empty_weight(const TransformedLayout& layout);
// The bytes of the part with this suffix, which must be one of declared_parts().
std::span<const std::uint8_t>& part_data(TransformedView& weight, std::string_view suffix);
std::vector<std::uint8_t>& part_data(TransformedWeight& weight, std::string_view suffix);

// Checks the contents that sizes do not show: those of the base, input scales (positive and finite), unused sign bits.
// Throws Error naming `where`.
void check_contents(const TransformedView& weight, const std::string& where);

// Decodes rows [row_begin, row_begin + row_count) into out, row_count * cols values; the sizes are asserted. With
// rotated outputs, whole blocks of rows are decoded: ask for multiples of output_block. One thread. The same
// results everywhere, row by row or together.
void decode_rows(const TransformedView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out);

// S_in diag(c), [cols]; empty where both are the identity.
std::vector<float> column_factors(const TransformedView& weight);

// Bits of signs: `size` values 1 or -1 from the bits described above, and back.
std::vector<float> decode_signs(std::span<const std::uint8_t> bits, std::size_t size);
std::vector<std::uint8_t> encode_signs(std::span<const float> signs);

// A plain format among all of them, and back (asserted: not a transformed one).
WeightLayout as_layout(const PlainLayout& layout);
CompressedWeightView as_view(const PlainView& weight);
PlainLayout as_plain(const WeightLayout& layout);
PlainWeight as_plain(CompressedWeight weight);

}  // namespace lcomp
