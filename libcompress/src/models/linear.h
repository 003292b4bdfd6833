#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "lcomp/core/matrix.h"
#include "lcomp/models/decoder.h"

namespace lcomp {

// The weight and bias of a linear layer, ready to be multiplied. Filled in two steps: the values are written to
// weight() and bias(), then finish() is called. Memory is kept when a weight of the same or a smaller size is written
// over it.
class LinearWeight {
 public:
  LinearWeight();
  ~LinearWeight();
  LinearWeight(LinearWeight&&) noexcept;
  LinearWeight& operator=(LinearWeight&&) noexcept;

  // Begins a new weight [out_features, in_features].
  void resize(std::size_t out_features, std::size_t in_features, bool has_bias);
  MatrixView<float> weight();
  ConstMatrixView weight() const;
  std::span<float> bias();
  std::span<const float> bias() const;

  std::size_t out_features() const { return out_features_; }
  std::size_t in_features() const { return in_features_; }
  bool empty() const { return out_features_ == 0; }

 private:
  friend class MatrixMultiplier;
  std::size_t out_features_ = 0;
  std::size_t in_features_ = 0;
  AlignedBuffer<float> values_;
  AlignedBuffer<float> bias_;
  std::size_t bias_size_ = 0;
  struct Packed;  // bfloat16, in oneDNN's order
  std::unique_ptr<Packed> packed_;
};

// The one place where activations meet weights: y = x W^T + b.
// Float32 products go to oneDNN (chosen over OpenBLAS by measurement, see benchmarks/models), or, for a few rows, to a
// kernel of our own that reads the weight once at memory speed. Bfloat16: both operands rounded, float32 sums. The same
// inputs, compute type and thread count give the same result; another thread count may round differently, and so may
// another number of rows.
class MatrixMultiplier {
 public:
  explicit MatrixMultiplier(ComputeType compute);
  ~MatrixMultiplier();
  MatrixMultiplier(MatrixMultiplier&&) noexcept;
  MatrixMultiplier& operator=(MatrixMultiplier&&) noexcept;

  ComputeType compute() const;

  // Call once after filling `weight`, before multiply(): for bfloat16, packs it and gives the float32 values back to
  // the system when `release` is set.
  void finish(LinearWeight& weight, bool release) const;

  // x: [rows, in_features], y: [rows, out_features], both contiguous.
  void multiply(ConstMatrixView x, const LinearWeight& weight, MatrixView<float> y);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcomp
