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

// Uniform integer codes with a bit width per band of columns. The columns are stored in a given order and cut into
// bands of 32; the bit width of a band is 0 to 8 and at most that of the band before it. Each row of a band has a scale
// and (asymmetric) a zero point:
//   w^_ij = scale_ib * (code_ij - zero_point_ib),  b = j / 32, j a stored column;   0 in bands of 0 bits
// in float32, as in grouped_integer.h, which also says the zero points of symmetric weights. Long runs of one bit width
// keep kernels simple. Parts, in this order, where band b has n_b columns (32 except in the last band):
//   codes        rows * sum_b ceil(n_b * bits_b / 8) bytes: each row's bands one after the other (bit_packing.h)
//   scales, row_scales   u8 [rows, coded_bands] for the bands of more than 0 bits, and f16 [rows]. They encode ranges,
//                which are comparable between bands of different bit widths:
//                scale_ib = (row_scale_i / (2^bits_b - 1)) * code_ib / 255, three operations in float32
//   zeros        asymmetric only: rows * ceil(sum_b bits_b / 8) bytes: for each row a stream of its bands' zero points,
//                each as wide as the codes of its band
//   band_bits    u8 [bands]
//   permutation  the original index of each stored column (column_permutation.h)

inline constexpr std::size_t band_columns = 32;

std::size_t band_count(std::size_t cols);                         // ceil(cols / 32)
std::size_t columns_of_band(std::size_t cols, std::size_t band);  // 32, or fewer in the last band

// The layout of a weight with these bit widths, [band_count(cols)]. Throws Error naming `where` for another number of
// them, a width above 8, and a width greater than the one before it.
BandedIntegerLayout banded_layout(std::size_t rows, std::size_t cols, bool symmetric,
                                  std::span<const std::uint8_t> band_bits, const std::string& where);

// Throws Error naming `where` unless rows, cols >= 1 and some bit widths give coded_bands, bit_sum and last_bits.
void check_layout(const BandedIntegerLayout& layout, const std::string& where);

std::vector<PartDeclaration> declared_parts(const BandedIntegerLayout& layout, const std::string& where);

BandedIntegerView view(const BandedIntegerWeight& weight);
BandedIntegerView empty_view(const BandedIntegerLayout& layout);
BandedIntegerWeight empty_weight(const BandedIntegerLayout& layout);
// The bytes of the part with this suffix, which must be one of declared_parts().
std::span<const std::uint8_t>& part_data(BandedIntegerView& weight, std::string_view suffix);
std::vector<std::uint8_t>& part_data(BandedIntegerWeight& weight, std::string_view suffix);

// A weight with these bit widths, the identity permutation, and zeros elsewhere. Throws as banded_layout.
BandedIntegerWeight make_banded_integer(std::size_t rows, std::size_t cols, bool symmetric,
                                        std::span<const std::uint8_t> band_bits, const std::string& where);

// Packs and unpacks the codes of one row, [cols] in stored order, each below 2^bits of its band (asserted). Several
// threads may write different rows, here and in the functions below.
void pack_row(BandedIntegerWeight& weight, std::size_t row, std::span<const std::uint8_t> codes);
void unpack_row(const BandedIntegerView& weight, std::size_t row, std::span<std::uint8_t> codes);
// Largest scale that a band of `bits` bits can have: row_scale / (2^bits - 1). Its scales are multiples of 1/255 of it.
float band_row_scale(float row_scale, unsigned bits);
// Scales of one row, [coded_bands], results of round_scale() for u8 with band_row_scale(row_scale, bits of the band).
void set_scales(BandedIntegerWeight& weight, std::size_t row, std::span<const float> scales, float row_scale);
// Zero points of one row, [coded_bands], integers of 0 .. 2^bits - 1 of their band; nothing for symmetric weights.
void set_zero_points(BandedIntegerWeight& weight, std::size_t row, std::span<const float> zero_points);
void set_permutation(BandedIntegerWeight& weight, std::span<const std::uint32_t> permutation);

// Decoded scales and zero points, [rows * coded_bands], row by row.
std::vector<float> decode_scales(const BandedIntegerView& weight);
std::vector<float> decode_zero_points(const BandedIntegerView& weight);

// Checks the contents that sizes do not show, here the bit widths and the permutation. Throws Error naming `where`.
void check_contents(const BandedIntegerView& weight, const std::string& where);

// Decodes rows [row_begin, row_begin + row_count) into out, row_count * cols values, columns in the weight's own order.
// The contents must have been checked. Vectorised as grouped integers are, a run of bands of one width at a time. One
// thread.
void decode_rows(const BandedIntegerView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out);

}  // namespace lcomp
