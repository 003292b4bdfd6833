#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/activation_quantization.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// Rows of a stored weight whose codes are multiplied as they are, and how its input is rounded.
struct IntegerPart {
  CompressedWeightView weight;
  std::size_t row_begin = 0, rows = 0;
  std::string name;                // for error messages
  bool symmetric = true;           // of the input
  std::optional<InputGrid> input;  // nothing: each token has its own grid
};

// The weight and bias of a linear layer in the order in which they are multiplied: float32 or bfloat16, packed by
// oneDNN (blocks of 64 output features, one input feature after the other), or stored codes (kernels/integer_matmul.h).
// Filled by MatrixMultiplier::pack.
class LinearWeight {
 public:
  LinearWeight();
  ~LinearWeight();
  LinearWeight(LinearWeight&&) noexcept;
  LinearWeight& operator=(LinearWeight&&) noexcept;

  std::size_t out_features() const { return out_features_; }
  std::size_t in_features() const { return in_features_; }
  bool empty() const { return out_features_ == 0; }

 private:
  friend class MatrixMultiplier;
  struct Packed;
  struct PackedIntegers;
  std::size_t out_features_ = 0;
  std::size_t in_features_ = 0;
  std::unique_ptr<Packed> packed_;
  std::unique_ptr<PackedIntegers> integers_;  // instead, where set
};

// The one place where activations meet weights: y = x W^T + b.
// Products go to oneDNN, which was chosen over OpenBLAS by measurement (benchmarks/models): for many rows packed
// weights are faster than either library's sgemm, and for one row the packed weight is read once at memory speed.
//   float32: float32 products and sums. bfloat16: both operands rounded to bfloat16, float32 sums.
// Weights packed as codes are multiplied in integers whatever the compute type, with the same bits everywhere; inputs
// of a transformed weight are transformed before they are rounded (kernels/activation_transform.h). Else, the same
// inputs and thread count give the same bits; another thread count or another number of rows may round differently.
class MatrixMultiplier {
 public:
  explicit MatrixMultiplier(ComputeType compute);
  ~MatrixMultiplier();
  MatrixMultiplier(MatrixMultiplier&&) noexcept;
  MatrixMultiplier& operator=(MatrixMultiplier&&) noexcept;

  ComputeType compute() const;

  // Packs weight [out_features, in_features] (contiguous) and bias [out_features] (or empty) into `out`, over what it
  // held before: its memory is kept when it is large enough.
  void pack(ConstMatrixView weight, std::span<const float> bias, LinearWeight& out) const;

  // The same for products the other way: multiply() then gives y = x W, [rows, in_features] from [rows, out_features].
  void pack_transposed(ConstMatrixView weight, LinearWeight& out) const;

  // Packs the codes of the parts, one below the other; all have the same columns. Throws Error as IntegerWeight::pack.
  void pack(std::span<const IntegerPart> parts, std::span<const float> bias, LinearWeight& out) const;

  // x: [rows, in_features], y: [rows, out_features], both contiguous. Throws Error (system) when oneDNN fails.
  void multiply(ConstMatrixView x, const LinearWeight& weight, MatrixView<float> y);

 private:
  void pack_floats(ConstMatrixView weight, bool transposed, LinearWeight& out) const;
  void multiply_integers(ConstMatrixView x, const LinearWeight& weight, MatrixView<float> y);

  struct State;
  std::unique_ptr<State> state_;
};

// sum = a^T b, or += where `accumulate`. a: [rows, m], b: [rows, n], sum: [m, n]; float32 throughout. The same inputs
// and thread count give the same bits. Throws Error (system) when oneDNN fails.
void multiply_transposed(ConstMatrixView a, ConstMatrixView b, bool accumulate, MatrixView<float> sum);

}  // namespace lcomp
