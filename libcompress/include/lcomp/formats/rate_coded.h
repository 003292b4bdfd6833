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

// Integer levels on a grid with a step a row and a step a column, entropy-coded: the steps say how finely each weight
// is stored, and the number of bits that it takes follows.
//   w^_ij = n_ij * step_ij,    step_ij = base_step * 2^((row_steps[i] + col_steps[j]) / steps_per_octave)
// With row_gains, a step of row i is also multiplied by 1 + row_gains[i] / 1024: what was learned after the codes were
// chosen.
// The level n follows from the codes of a column by a trellis (trellis.h), chain_rows rows at a time; without one it is
// the code. Codes are written by rANS under fixed distributions, which class(i, j) = row_class[i] + col_class[j] and a
// shape pick: the encoder fits them to the levels' magnitudes. Blocks of block_rows rows decode alone.
//
// Parts, in this order:
//   codes      the blocks, one after the other
//   blocks     u32 [blocks, 2]: where each ends, in bytes, and its checksum
//   base_step  f32 [1]
//   side       row_steps, col_steps, row_class, col_class, where there are any row_gains, entropy-coded
// docs/format.md says what each byte means.

inline constexpr int largest_steps_per_octave = 16;
inline constexpr int row_gain_unit = 1024;    // of a factor of 1
inline constexpr int largest_row_gain = 512;  // a factor of 0.5 to 1.5
inline constexpr std::int32_t largest_rate_code = (1 << 23) - 1;
inline constexpr std::size_t largest_rate_block = std::size_t{1} << 24;  // weights

// The codes of a weight as a quantizer chooses them.
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

// The weight with other gains of its rows, its codes as they are; empty: none. Throws Error naming `where` for another
// number of them, a gain beyond +-largest_row_gain, and a damaged weight.
RateCodedWeight with_row_gains(RateCodedWeight weight, std::vector<std::int16_t> gains, const std::string& where);

// The codes that were encoded, on all threads. Throws Error naming the block where the data are damaged.
RateCodedCodes decode_codes(const RateCodedView& weight);

// The entropy, in bits, of the codes given their class and the parity of their state, the classes being those that the
// encoder fits: what a coder would need whose tables were those of this very weight. Side information is not counted.
double ideal_code_bits(const RateCodedView& weight);

// The code length, in bits, of every row [rows] and column [cols]: - log2 of what the tables give each code. Both sum
// to the same; steps, classes and the index of blocks are beside them.
struct CodeBits {
  std::vector<double> rows, cols;
};
CodeBits code_bits(const RateCodedView& weight);

// rows, cols >= 1, each number in its range, blocks of at most largest_rate_block weights, and bytes enough for all
// blocks to begin. Throws Error naming `where`.
void check_layout(const RateCodedLayout& layout, const std::string& where);
std::size_t block_count(const RateCodedLayout& layout);

std::vector<PartDeclaration> declared_parts(const RateCodedLayout& layout, const std::string& where);

RateCodedView view(const RateCodedWeight& weight);
RateCodedView empty_view(const RateCodedLayout& layout);
RateCodedWeight empty_weight(const RateCodedLayout& layout);
// The bytes of the part of that suffix, which must be one of declared_parts().
std::span<const std::uint8_t>& part_data(RateCodedView& weight, std::string_view suffix);
std::vector<std::uint8_t>& part_data(RateCodedWeight& weight, std::string_view suffix);

// What a file may have wrong that sizes don't show: the base step, the index of blocks, the side information. Blocks
// are checked when they are decoded. Throws Error naming `where`.
void check_contents(const RateCodedView& weight, const std::string& where);

// Decodes the side information for all uses of this view and its copies to come: else each decodes it again, which for
// a few rows of a long weight takes longer than the rows. Throws Error naming `where` when it is damaged.
void keep_side(RateCodedView& weight, const std::string& where);

// Decodes rows [row_begin, row_begin + row_count) into out, row_count * cols values; all blocks that have one of them
// are decoded for it. The contents must have been checked. Throws Error naming the block where its checksum or its
// codes are not right. One thread.
void decode_rows(const RateCodedView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out);

}  // namespace lcomp
