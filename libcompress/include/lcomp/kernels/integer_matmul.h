#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/activation_quantization.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/kernels/quantized_rows.h"

namespace lcomp {

// The stored codes of a weight, laid out for products with 8-bit activations. What the codes mean does not change: they
// are not quantized again.
//   panels of 64 rows;  in a panel, for 4 columns after the other, [64 rows][4 columns] signed bytes
// A byte is code - zero_point, which fits for up to 7 bits and for symmetric weights; for asymmetric weights of 8 bits
// it is code - 128, and zero_point - 128 of each group is kept beside the scale. 1 byte a weight and 8 (12) a group.
class IntegerWeight {
 public:
  // Rows [row_begin, row_begin + row_count) of a stored weight, over what was held before; memory is kept when it is
  // large enough. Of a transformed weight those of its base: what the transform does is then for the activations
  // (activation_transform.h). Throws Error naming `component` for what integers can't multiply exactly: formats other
  // than grouped integer, 1 bit (its zero point is 1/2), zero points in f16, groups of several a row whose size is no
  // multiple of 4, and groups of more than 32768 columns, beyond which a 32-bit sum could overflow: |code - zero_point|
  // <= 255 on both sides, with every intermediate below 255 * 256 * group_size < 2^31.
  void pack(const CompressedWeightView& weight, std::size_t row_begin, std::size_t row_count,
            const std::string& component);
  // What pack() would throw, without packing.
  static void require_packable(const CompressedWeightView& weight, const std::string& component);

  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }

 private:
  friend struct IntegerProduct;
  static constexpr std::size_t panel_rows = 64;

  std::size_t panels() const { return (rows_ + panel_rows - 1) / panel_rows; }
  std::size_t quads() const { return (cols_ + 3) / 4; }  // columns / 4
  std::size_t groups() const { return (cols_ + group_size_ - 1) / group_size_; }

  std::size_t rows_ = 0, cols_ = 0, group_size_ = 1;
  AlignedBuffer<std::int8_t> codes_;         // [panels][quads][64][4], padded with zeros
  AlignedBuffer<float> scales_;              // [panels][groups][64]
  AlignedBuffer<std::int32_t> code_sums_;    // [panels][groups][64], sum over the group of the bytes above
  AlignedBuffer<std::int32_t> zero_points_;  // [panels][groups][64], or empty when they are in the bytes
  bool has_zero_points_ = false;
  std::vector<std::uint32_t> permutation_;  // stored column j is column permutation[j] of the weight; empty: as it is
};

// y = x^ w^T + bias, in integers:
//   y_io = s_i * sum_g s_go * I_igo + bias_o,   I_igo = sum_{j in g} (code_ij - z_i)(w_oj - z_go)   exactly, in 32 bits
// with float32 for the rest, in the order written (groups ascending; each product and each sum rounded).
// x: [tokens, in] codes, one scale s_i and zero point z_i a token. w: [out, in]. bias: [out] or empty.
// y: [tokens, out]. The same bits on every machine, for any number of threads, and for a token alone or among others.
// Cost: tokens * in * out products of bytes, four to an instruction and lane where the processor has AVX512-VNNI, two
// (as 16-bit integers) elsewhere through Highway; benchmarks/kernels compares both with float32.
void multiply(const QuantizedRows& x, const IntegerWeight& weight, std::span<const float> bias, MatrixView<float> y);

// Throws Error naming `component` for a weight that a model with these activations can't be run with: as
// IntegerWeight::pack, and for fixed ranges where the inputs are transformed, whose ranges calibration doesn't see.
void require_integer_product(const CompressedWeightView& weight, const ActivationSetting& setting,
                             const std::string& component);

}  // namespace lcomp
