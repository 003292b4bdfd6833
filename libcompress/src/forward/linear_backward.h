#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "forward/block_weights.h"
#include "forward/gradient_sums.h"
#include "forward/linear.h"
#include "lcomp/formats/activation_quantization.h"
#include "lcomp/forward/gradients.h"
#include "lcomp/kernels/quantized_rows.h"

namespace lcomp {

// What the backward pass of every part of a model works with.
struct BackwardContext {
  const DecoderConfig& config;
  const TensorSource& weights;
  WeightReader& reader;
  MatrixMultiplier& multiplier;
  GradientVisitor& visitor;
  std::size_t layer = 0;                           // num_layers(): the head
  const ActivationSetting* activations = nullptr;  // how inputs of linear layers are rounded; null: not
};

// What a linear is needed for.
enum class Directions { forward, backward, both };

// Linears that share an input, in both directions.
class LinearBackward {
 public:
  // Decodes the weights for one direction or both; with backward, begins sums of their gradients.
  void read(const BackwardContext& context, std::span<const LinearSlices* const> parts, Directions directions);
  // Begins sums without weights: for linear layers that no token meets.
  void begin(const BackwardContext& context, std::span<const LinearSlices* const> parts);

  // y = x W^T + b, x rounded as the context says.
  void forward(const BackwardContext& context, ConstMatrixView x, MatrixView<float> y) const;
  // Reports x and dy of these tokens of the batch, adds to the sums, and writes dx = dy W. [tokens, features]
  void backward(const BackwardContext& context, std::span<const std::size_t> tokens, ConstMatrixView x,
                ConstMatrixView dy, MatrixView<float> dx);
  void hand_over(const BackwardContext& context) const;
  AlignedBuffer<float> take_weight_sums() { return sums_.take_weights(); }

 private:
  // x, or what it is rounded to, in working memory.
  ConstMatrixView input(const BackwardContext& context, ConstMatrixView x) const;

  std::vector<ComponentOutputs> components_;
  mutable QuantizedRows codes_;
  mutable AlignedBuffer<float> rounded_;
  LinearWeight forward_, transposed_;
  LinearGradientSums sums_;
};

// A norm in both directions.
class NormBackward {
 public:
  void read(const BackwardContext& context, const NormSlices& slices);
  const NormWeights& weights() const { return weights_; }
  void forward(const BackwardContext& context, ConstMatrixView x, MatrixView<float> y) const;
  // dx may be the memory of dy or of x.
  void backward(const BackwardContext& context, ConstMatrixView x, ConstMatrixView dy, MatrixView<float> dx);
  NormGradientSums& sums() { return sums_; }
  void hand_over(const BackwardContext& context) const;

 private:
  NormWeights weights_;
  NormGradientSums sums_;
};

}  // namespace lcomp
