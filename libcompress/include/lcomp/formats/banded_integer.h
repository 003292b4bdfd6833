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

// Uniform integer codes whose width differs from column to column: columns in an order that is stored, cut into bands
// of 32, each band 0 to 8 bits wide, none wider than the one before it. A scale and (asymmetric) a zero point for each
// row of a band:
//   w^_ij = scale_ib * (code_ij - zero_point_ib),  b = j / 32, j a stored column;   0 in bands of 0 bits
// in float32, as in grouped_integer.h, and symmetric weights have the zero points that it says. Long runs of one width
// keep kernels simple. Parts, in this order, with n_b the columns of band b, 32 but for the last:
//   codes        rows * sum_b ceil(n_b * bits_b / 8) bytes: each row's bands one after the other (bit_packing.h)
//   scales, row_scales   u8 for each row of the coded_bands bands that have bits, f16 for each row: of ranges, which
//                bands of different widths have in common, scale_ib = (row_scale_i / (2^bits_b - 1)) * code_ib / 255,
//                three operations in float32
//   zeros        asymmetric only: rows * ceil(sum_b bits_b / 8) bytes: for each row a stream of its bands' zero points,
//                each as wide as the codes of its band
//   band_bits    u8 [bands]
//   permutation  the columns that the stored ones are (column_permutation.h)

inline constexpr std::size_t band_columns = 32;

std::size_t band_count(std::size_t cols);                         // ceil(cols / 32)
std::size_t columns_of_band(std::size_t cols, std::size_t band);  // 32, or what the last has

// The layout of a weight with these widths. Throws Error naming `where` unless they are one for each band, each 0 to 8,
// none more than the one before.
BandedIntegerLayout banded_layout(std::size_t rows, std::size_t cols, bool symmetric,
                                  std::span<const std::uint8_t> band_bits, const std::string& where);

// rows, cols >= 1, and sums that some widths have. Throws Error naming `where`.
void check_layout(const BandedIntegerLayout& layout, const std::string& where);

std::vector<PartDeclaration> declared_parts(const BandedIntegerLayout& layout, const std::string& where);

BandedIntegerView view(const BandedIntegerWeight& weight);
BandedIntegerView empty_view(const BandedIntegerLayout& layout);
BandedIntegerWeight empty_weight(const BandedIntegerLayout& layout);
// The bytes of the part of that suffix, which must be one of declared_parts().
std::span<const std::uint8_t>& part_data(BandedIntegerView& weight, std::string_view suffix);
std::vector<std::uint8_t>& part_data(BandedIntegerWeight& weight, std::string_view suffix);

// A weight with these widths, its columns in their own order and all else zero. Throws as banded_layout.
BandedIntegerWeight make_banded_integer(std::size_t rows, std::size_t cols, bool symmetric,
                                        std::span<const std::uint8_t> band_bits, const std::string& where);

// Packs the codes of one row, [cols] in stored order, each below 2^bits of its band (asserted), and back. Different
// rows may be written from different threads; so below.
void pack_row(BandedIntegerWeight& weight, std::size_t row, std::span<const std::uint8_t> codes);
void unpack_row(const BandedIntegerView& weight, std::size_t row, std::span<std::uint8_t> codes);
// What the scales of a band are multiples of 1/255 of.
float band_row_scale(float row_scale, unsigned bits);
// Scales of one row, [coded_bands], results of round_scale() for u8 with band_row_scale(row_scale, bits of the band).
void set_scales(BandedIntegerWeight& weight, std::size_t row, std::span<const float> scales, float row_scale);
// Zero points of one row, [coded_bands], integers of 0 .. 2^bits - 1 of their band; nothing for symmetric weights.
void set_zero_points(BandedIntegerWeight& weight, std::size_t row, std::span<const float> zero_points);
void set_permutation(BandedIntegerWeight& weight, std::span<const std::uint32_t> permutation);

// As they decode: [rows * coded_bands], row by row.
std::vector<float> decode_scales(const BandedIntegerView& weight);
std::vector<float> decode_zero_points(const BandedIntegerView& weight);

// What a file may have wrong that sizes don't show: the widths and the permutation. Throws Error naming `where`.
void check_contents(const BandedIntegerView& weight, const std::string& where);

// Decodes rows [row_begin, row_begin + row_count) into out, row_count * cols values, columns in the weight's own order.
// The contents must have been checked. Vectorised as grouped integers are, a run of bands of one width at a time. One
// thread.
void decode_rows(const BandedIntegerView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out);

}  // namespace lcomp
