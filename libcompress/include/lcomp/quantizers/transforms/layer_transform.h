#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/quantizers/layer_stats.h"

namespace lcomp {

// A change of basis of one linear layer's inputs and outputs, which the stored weight undoes when it is decoded
// (formats/transformed_weight.h):
//   x' = T x,  T = H_in S_in diag(c),    W' = H_out S_out W T^-1,    T^-1 = diag(1/c) S_in H_in^T
// so that W' x' = H_out S_out W x. With H orthonormal Hadamard matrices on blocks and S random signs, what stands out
// in W or x is spread evenly over its block ("incoherence": arXiv 2307.13304, 2402.04396, 2404.00456); c makes room for
// the columns that matter (arXiv 2306.00978).
struct LayerTransform {
  std::vector<float> input_scales;  // c [cols], positive and as f16 holds them; empty: all 1
  std::size_t input_block = 0;      // order of H_in's blocks; 0: H_in S_in is the identity
  std::vector<float> input_signs;   // S_in [cols], 1 or -1; empty when input_block is 0
  std::size_t output_block = 0;     // the same for H_out S_out
  std::vector<float> output_signs;  // [rows]

  bool is_identity() const { return input_scales.empty() && input_block == 0 && output_block == 0; }
};

// Rotating outputs spreads a row's error over its block: rows that are small but matter then get the errors of large
// ones, which a squared error does not show (SmolLM2 re-gauged, 4 bits, group 64, KL over 2 sequences: 0.71 plain, 0.70
// with rotated inputs, 0.97 with rotated outputs too).
struct RotationOptions {
  std::size_t block = 0;          // the most inputs that a block mixes; 0: as many as there are
  bool outputs = false;           // outputs too
  std::size_t output_block = 64;  // the most outputs that a block mixes: as many rows are decoded to get at one
  bool paley = false;             // blocks of 12, 20, 28 or 36 times a power of two too, not only of powers of two
  std::uint64_t seed = 0;         // of the signs
};

// The rotation of a weight of this shape, without scales. Blocks are the largest that divide the side; a side that only
// a block of 1 divides is left alone. Signs depend on the seed, the side and its size alone, so that linear layers that
// share their inputs share the rotation of them.
LayerTransform make_rotation(const RotationOptions& options, std::size_t rows, std::size_t cols);

// W' of a weight [rows, cols]. In float32, on all threads, the same on every machine. rows * cols * log2(blocks)
// operations.
Matrix transform_weight(ConstMatrixView weight, const LayerTransform& transform);

// T H T^T of a symmetric matrix [cols, cols], such as LayerStats::hessian: what it is for x'. In float32; of two values
// of `hessian` that should be equal it uses both, the result is symmetric to the bit. On all threads, the same on every
// machine. 2 cols^2 log2(input_block) operations.
Matrix transform_hessian(ConstMatrixView hessian, const LayerTransform& transform);

// T x of one vector [cols].
std::vector<float> transform_input(std::span<const float> input, const LayerTransform& transform);

// What is known of x', from what is known of x: its Hessian and mean, where they are of `cols` inputs; its absolute
// maximum where it is scaled only, nothing where it is rotated; the rest as it is. A Hessian of another size is left
// for others to refuse. Must not outlive `stats`.
class TransformedStats {
 public:
  TransformedStats(const LayerStats& stats, const LayerTransform& transform, std::size_t cols);
  TransformedStats(const TransformedStats&) = delete;
  TransformedStats& operator=(const TransformedStats&) = delete;
  const LayerStats& view() const { return view_; }

 private:
  Matrix hessian_;
  std::vector<float> mean_, absolute_maximum_;
  LayerStats view_;
};

// A weight W' as it was stored, with what undoes the transform around it; `base` itself for the identity. `base` must
// not be a transformed weight (asserted).
CompressedWeight undo_on_decoding(CompressedWeight base, const LayerTransform& transform);

}  // namespace lcomp
