#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

namespace lcomp {

// How a weight [rows, cols] is stored. The formats are a closed set. Each is three structs: a *layout* (shape and
// settings: all that decides the sizes), a *weight* that owns its bytes, and a *view* of bytes that somebody else owns
// (a mapped file). What the bytes mean is in the format's own header; format.h has the functions over all of them;
// docs/format.md is the specification.

enum class DenseType { f32, f16, bf16 };

// Plain values, in 16 or 32 bits. See dense.h.
struct DenseLayout {
  std::size_t rows = 0, cols = 0;
  DenseType type = DenseType::f16;

  bool operator==(const DenseLayout&) const = default;
};

struct DenseWeight : DenseLayout {
  std::vector<std::uint8_t> values;  // rows * cols values, little-endian
};

struct DenseView : DenseLayout {
  std::span<const std::uint8_t> values;
};

enum class ScaleStorage {
  f32,  // 32-bit float (for comparisons with reference code)
  f16,  // 16-bit float
  u8,   // 8-bit code times a 16-bit float per row: scale = row_scale * code / 255
};

enum class ZeroStorage {
  integer,  // 0 .. 2^bits - 1, in `bits` bits
  f16,      // any 16-bit float
};

// Uniform integer codes, a scale and (asymmetric) a zero point per group of consecutive columns. See grouped_integer.h.
//   w^ = scale * (code - zero_point),  0 <= code < 2^bits;  zero_point not stored when symmetric: 2^(bits-1)
struct GroupedIntegerLayout {
  std::size_t rows = 0, cols = 0;
  int bits = 4;  // 1 .. 8
  bool symmetric = true;
  std::size_t group_size =
      0;  // columns per group, 1 .. cols; the last group of a row may be shorter. cols: one group a row
  bool per_tensor = false;  // one scale (and zero point) for the whole weight; group_size is then cols
  ScaleStorage scale_storage = ScaleStorage::f16;
  ZeroStorage zero_storage = ZeroStorage::integer;  // of asymmetric weights
  bool permuted = false;  // columns are stored in another order, given by a permutation: groups are of stored columns

  bool operator==(const GroupedIntegerLayout&) const = default;
};

struct GroupedIntegerWeight : GroupedIntegerLayout {
  std::vector<std::uint8_t> codes;        // packed, each row from a byte boundary
  std::vector<std::uint8_t> scales;       // one per group in row-major order, as scale_storage says
  std::vector<std::uint8_t> row_scales;   // f16 per row when scale_storage is u8, else empty
  std::vector<std::uint8_t> zeros;        // one per group, as zero_storage says, when asymmetric; else empty
  std::vector<std::uint8_t> permutation;  // original index of each stored column when permuted, else empty
};

struct GroupedIntegerView : GroupedIntegerLayout {
  std::span<const std::uint8_t> codes, scales, row_scales, zeros, permutation;
};

// Signed powers of a base and a scale per group of consecutive columns. See logarithmic.h.
//   w^ = scale * sign * base^-k, or 0 for one code when there is a zero level
struct LogarithmicLayout {
  std::size_t rows = 0, cols = 0;
  int bits = 4;                // 1 .. 8
  bool zero_level = false;     // one code means 0
  std::size_t group_size = 0;  // as in GroupedIntegerLayout
  ScaleStorage scale_storage = ScaleStorage::f16;
  bool permuted = false;  // as in GroupedIntegerLayout

  bool operator==(const LogarithmicLayout&) const = default;
};

struct LogarithmicWeight : LogarithmicLayout {
  std::vector<std::uint8_t> codes;        // packed, each row from a byte boundary
  std::vector<std::uint8_t> scales;       // one per group in row-major order, as scale_storage says
  std::vector<std::uint8_t> row_scales;   // f16 per row when scale_storage is u8, else empty
  std::vector<std::uint8_t> base;         // one f32
  std::vector<std::uint8_t> permutation;  // original index of each stored column when permuted, else empty
};

struct LogarithmicView : LogarithmicLayout {
  std::span<const std::uint8_t> codes, scales, row_scales, base, permutation;
};

// Codes into tables of 2^bits levels: a table per group of consecutive columns, or one for the weight and a scale per
// group. See codebook.h.
//   w^ = codebook_g[code]   or   w^ = scale_g * codebook[code]
struct CodebookLayout {
  std::size_t rows = 0, cols = 0;
  int bits = 4;                               // 1 .. 8
  std::size_t group_size = 0;                 // as in GroupedIntegerLayout
  std::optional<ScaleStorage> scale_storage;  // set: one codebook for the weight, and scales; not set: one per group
  bool permuted = false;                      // as in GroupedIntegerLayout

  bool operator==(const CodebookLayout&) const = default;
};

struct CodebookWeight : CodebookLayout {
  std::vector<std::uint8_t> codes;        // packed, each row from a byte boundary
  std::vector<std::uint8_t> codebooks;    // f16, 2^bits for each group in row-major order, or for the weight
  std::vector<std::uint8_t> scales;       // one per group when scale_storage is set, else empty
  std::vector<std::uint8_t> row_scales;   // f16 per row when scale_storage is u8, else empty
  std::vector<std::uint8_t> permutation;  // original index of each stored column when permuted, else empty
};

struct CodebookView : CodebookLayout {
  std::span<const std::uint8_t> codes, codebooks, scales, row_scales, permutation;
};

// Uniform integer codes of 0 to 8 bits, one bit width per band of 32 stored columns, the widest first. See
// banded_integer.h.
//   w^ = scale * (code - zero_point), a scale (8 bits, and 16 for the row) and a zero point for each row of a band
struct BandedIntegerLayout {
  std::size_t rows = 0, cols = 0;
  bool symmetric = true;
  std::size_t coded_bands = 0;  // number of bands of more than 0 bits
  std::size_t bit_sum = 0;      // sum of the bit widths of all bands
  std::size_t last_bits = 0;    // bit width of the last band, which may have fewer columns

  bool operator==(const BandedIntegerLayout&) const = default;
};

struct BandedIntegerWeight : BandedIntegerLayout {
  std::vector<std::uint8_t> codes;        // packed, each row and each band from a byte boundary
  std::vector<std::uint8_t> scales;       // u8 [rows, coded_bands]
  std::vector<std::uint8_t> row_scales;   // f16 [rows]
  std::vector<std::uint8_t> zeros;        // packed row by row, when asymmetric; else empty
  std::vector<std::uint8_t> band_bits;    // u8 [bands]
  std::vector<std::uint8_t> permutation;  // original index of each stored column
};

struct BandedIntegerView : BandedIntegerLayout {
  std::span<const std::uint8_t> codes, scales, row_scales, zeros, band_bits, permutation;
};

// Entropy-coded integer levels with one step per row and one per column. See rate_coded.h.
//   w^ = level * base_step * 2^((row_step + col_step) / steps_per_octave)
struct RateCodedLayout {
  std::size_t rows = 0, cols = 0;
  int steps_per_octave = 4;      // 1 .. 16
  int trellis_memory = 0;        // 0, 2 .. 6: log2 of the states of the trellis
  int distribution = 0;          // 0 .. 3: the shape of the distributions
  std::size_t chain_rows = 0;    // rows of a chain of states, 1 .. block_rows
  std::size_t block_rows = 0;    // rows that decode together, a multiple of chain_rows
  std::uint64_t code_bytes = 0;  // total of all blocks
  std::uint64_t side_bytes = 0;  // entropy-coded steps, classes and row gains
  bool row_gains = false;        // each row has a learned factor

  bool operator==(const RateCodedLayout&) const = default;
};

struct RateCodedWeight : RateCodedLayout {
  std::vector<std::uint8_t> codes;      // the blocks, one after the other
  std::vector<std::uint8_t> blocks;     // u32 [blocks, 2]: end, checksum
  std::vector<std::uint8_t> base_step;  // one f32
  std::vector<std::uint8_t> side;       // steps and classes of rows and columns
};

struct SideInformation;  // of the format alone
struct RateCodedView : RateCodedLayout {
  std::span<const std::uint8_t> codes, blocks, base_step, side;
  std::shared_ptr<const SideInformation> decoded_side;  // keep_side()
};

// The formats that can hold the base of a transformed weight.
using PlainLayout =
    std::variant<DenseLayout, GroupedIntegerLayout, LogarithmicLayout, CodebookLayout, BandedIntegerLayout>;
using PlainWeight =
    std::variant<DenseWeight, GroupedIntegerWeight, LogarithmicWeight, CodebookWeight, BandedIntegerWeight>;
using PlainView = std::variant<DenseView, GroupedIntegerView, LogarithmicView, CodebookView, BandedIntegerView>;

// The change of basis of a weight before quantization; decoding undoes it. See transformed_weight.h.
struct WeightTransform {
  bool input_scaled = false;     // each column has a factor
  std::size_t input_block = 0;   // columns that a Hadamard matrix mixes, a divisor of cols; 0: not rotated
  std::size_t output_block = 0;  // rows, a divisor of rows; 0: not rotated

  bool operator==(const WeightTransform&) const = default;
};

// A weight in another basis of its inputs and outputs.
//   w^ = S_out H_out^T base H_in S_in diag(input_scales)
struct TransformedLayout {
  std::size_t rows = 0, cols = 0;  // as base
  WeightTransform transform;
  PlainLayout base;

  bool operator==(const TransformedLayout&) const = default;
};

struct TransformedWeight {
  std::size_t rows = 0, cols = 0;
  WeightTransform transform;
  PlainWeight base;
  std::vector<std::uint8_t> input_scales;  // f16 per column when input_scaled, else empty
  std::vector<std::uint8_t> input_signs;   // a bit per column when inputs are rotated, 1: negative; else empty
  std::vector<std::uint8_t> output_signs;  // a bit per row when outputs are rotated; else empty
};

struct TransformedView {
  std::size_t rows = 0, cols = 0;
  WeightTransform transform;
  PlainView base;
  std::span<const std::uint8_t> input_scales, input_signs, output_signs;
};

using WeightLayout = std::variant<DenseLayout, GroupedIntegerLayout, LogarithmicLayout, CodebookLayout,
                                  BandedIntegerLayout, RateCodedLayout, TransformedLayout>;
using CompressedWeight = std::variant<DenseWeight, GroupedIntegerWeight, LogarithmicWeight, CodebookWeight,
                                      BandedIntegerWeight, RateCodedWeight, TransformedWeight>;
using CompressedWeightView = std::variant<DenseView, GroupedIntegerView, LogarithmicView, CodebookView,
                                          BandedIntegerView, RateCodedView, TransformedView>;

}  // namespace lcomp
