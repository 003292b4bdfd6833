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

// Entropy-coded integer levels on a grid with one step per row and one step per column. The steps decide the precision
// of each weight; its number of bits follows from entropy coding.
//   w^_ij = n_ij * step_ij,    step_ij = base_step * 2^((row_steps[i] + col_steps[j]) / steps_per_octave)
// With row_gains, the step of row i is also multiplied by 1 + row_gains[i] / 1024: gains are learned after the codes
// are fixed. The level n follows from the codes of a column by a trellis (trellis.h), chain_rows rows at a time;
// without one it is the code. Codes are entropy-coded by rANS under fixed distributions, selected by class(i, j) =
// row_class[i] + col_class[j] and by a shape, which the encoder fits to the magnitudes of the levels. Blocks of
// block_rows rows can be decoded independently.
//
// Parts, in this order:
//   codes      the blocks, one after the other
//   blocks     u32 [blocks, 2]: where each ends, in bytes, and its checksum
//   base_step  f32 [1]
//   side       row_steps, col_steps, row_class, col_class and, if present, row_gains, entropy-coded
// docs/format.md says what each byte means.

inline constexpr int largest_steps_per_octave = 16;
inline constexpr int row_gain_unit = 1024;    // resolution of row gains: 1/1024
inline constexpr int largest_row_gain = 512;  // a factor of 0.5 to 1.5
inline constexpr std::int32_t largest_rate_code = (1 << 23) - 1;
inline constexpr std::size_t largest_rate_block = std::size_t{1} << 24;  // weights

// The quantized weight before entropy coding.
struct RateCodedCodes {
  std::size_t rows = 0, cols = 0;
  int steps_per_octave = 4;                        // 1 ... 16
  int trellis_memory = 0;                          // Trellis::has_memory()
  std::size_t chain_rows = 128;                    // rows that one chain of trellis states goes through
  float base_step = 1;                             // > 0, finite
  std::vector<std::uint8_t> row_steps, col_steps;  // [rows], [cols]: logarithms of the steps
  std::vector<std::int32_t> codes;                 // [rows, cols], row-major, |q| <= largest_rate_code
  std::vector<std::int16_t> row_gains;             // [rows], or empty: none
};

// The powers 2^(k / steps_per_octave), k = 0 ... 510, the nearest float32 on every machine (infinite beyond). A step is
// base_step * power[row_step + col_step], rounded, and a weight is level * step, rounded.
std::vector<float> step_powers(int steps_per_octave);

// Codes to bytes, on all threads; the same bytes for any number of them. Throws Error naming `where` for sizes that
// don't fit each other, an empty weight, codes beyond +-largest_rate_code, and a base step that is not positive and
// finite. Some ten passes over the codes.
RateCodedWeight encode_rate_coded(const RateCodedCodes& codes, const std::string& where);

// The weight with its row gains replaced and its codes unchanged. gains: [rows], or empty to remove them. Throws Error
// naming `where` for another number of gains, a gain beyond +-largest_row_gain, and a damaged weight.
RateCodedWeight with_row_gains(RateCodedWeight weight, std::vector<std::int16_t> gains, const std::string& where);

// The codes that were encoded, on all threads. Throws Error naming the block where the data are damaged.
RateCodedCodes decode_codes(const RateCodedView& weight);

// Empirical conditional entropy of the codes given their class (as fitted by the encoder) and the parity of their
// state, in bits: the code length under tables made for this weight. Side information is not counted.
double ideal_code_bits(const RateCodedView& weight);

// Code length of every row [rows] and column [cols], in bits: the sum of -log2 of the probabilities that the tables
// give the codes. Both have the same sum; steps, classes and the index of blocks are not counted.
struct CodeBits {
  std::vector<double> rows, cols;
};
CodeBits code_bits(const RateCodedView& weight);

// Throws Error naming `where` unless rows, cols >= 1, each number is in its range, blocks have at most
// largest_rate_block weights, and code_bytes suffices for the beginnings of all blocks.
void check_layout(const RateCodedLayout& layout, const std::string& where);
std::size_t block_count(const RateCodedLayout& layout);

std::vector<PartDeclaration> declared_parts(const RateCodedLayout& layout, const std::string& where);

RateCodedView view(const RateCodedWeight& weight);
RateCodedView empty_view(const RateCodedLayout& layout);
RateCodedWeight empty_weight(const RateCodedLayout& layout);
// The bytes of the part with this suffix, which must be one of declared_parts().
std::span<const std::uint8_t>& part_data(RateCodedView& weight, std::string_view suffix);
std::vector<std::uint8_t>& part_data(RateCodedWeight& weight, std::string_view suffix);

// Checks the contents that sizes do not show: the base step, the index of blocks, the side information. Blocks are
// checked when they are decoded. Throws Error naming `where`.
void check_contents(const RateCodedView& weight, const std::string& where);

// Decodes the side information once and keeps it in this view and its later copies. Otherwise every use decodes it
// again, which for a few rows of a large weight takes longer than the rows. Throws Error naming `where` when damaged.
void keep_side(RateCodedView& weight, const std::string& where);

// Decodes rows [row_begin, row_begin + row_count) into out, row_count * cols values; all blocks that have one of them
// are decoded in full. The contents must have been checked. Throws Error naming the block where its checksum or its
// codes are not right. One thread.
void decode_rows(const RateCodedView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out);

}  // namespace lcomp
