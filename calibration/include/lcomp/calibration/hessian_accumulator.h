#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "lcomp/core/matrix.h"

namespace lcomp {

// Sums the Hessian of a linear layer over tokens that come in pieces of any size.
//   H = 2/n sum_t x_t x_t^T        x_t: the layer's input for token t, [in_features]
//
// Precision: rows are gathered until there are 2048. Their products are summed in float32 (fused multiply-adds, by
// oneDNN) and these sums are added to a double each, so that the error does not grow with the number of tokens: every
// entry is within 2e-6 sqrt(H_ii H_jj) of the exact one for any n, typically within 2e-7 and less the larger n is
// (tests/calibration holds it to this for 10^6 tokens). What is returned is rounded to float32 once more.
//
// Only the tiles on and below the diagonal are computed and kept. The rows are gathered tile by tile, so that products
// read memory in sequence. The result does not depend on how the rows were divided among calls, nor on the number of
// threads (a tile is the work of one thread).
// Memory: about 4 in_features^2 + 8192 in_features bytes. Cost: in_features^2 multiply-adds a token, at 85 to 100 % of
// the speed of OpenBLAS's ssyrk (benchmarks/calibration).
class HessianAccumulator {
 public:
  explicit HessianAccumulator(std::size_t in_features);

  // input: [any number of tokens, in_features], finite values.
  void add(ConstMatrixView input);

  std::size_t in_features() const { return in_features_; }
  std::uint64_t tokens() const { return tokens_; }

  // H, [in_features, in_features]; zeros when there were no tokens. Entries that float32 can't hold are infinite.
  Matrix hessian();
  // The same without what symmetry gives: rows 0 .. i of the lower triangle one after the other, element (i, j), j <=
  // i, at i (i + 1) / 2 + j.
  void lower_triangle(std::span<float> out);
  static std::size_t triangle_size(std::size_t in_features) { return in_features * (in_features + 1) / 2; }

  // Bytes that an object for so many features holds.
  static std::size_t memory(std::size_t in_features);

 private:
  void gather(ConstMatrixView rows);
  void add_products();
  std::size_t tile_index(std::size_t i, std::size_t j) const { return i * (i + 1) / 2 + j; }

  std::size_t in_features_;
  std::size_t panels_;  // columns are cut into panels of equal width, the last one padded with zeros
  std::size_t width_;
  std::uint64_t tokens_ = 0;
  std::size_t gathered_ = 0;       // rows
  AlignedBuffer<float> rows_;      // [panels, rows, width]
  AlignedBuffer<double> sums_;     // [tile (i, j), j <= i][width, width]
  AlignedBuffer<float> products_;  // [thread][width, width]
};

// The symmetric matrix of a lower triangle, as lower_triangle() orders it.
Matrix symmetric_matrix(std::span<const float> lower_triangle, std::size_t in_features);

}  // namespace lcomp
