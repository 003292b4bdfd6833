#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/forward/gradients.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Gives the visitor the gradient of a whole tensor. Throws Error naming the tensor when it is not finite.
void hand_over(const TensorSource& weights, const std::string& name, std::span<const float> gradient,
               GradientVisitor& visitor);

// The gradients of linear layers that share an input, summed over chunks of tokens, for the tensors that the visitor
// wants: dW += dy^T x in float32, db += column sums of dy in double.
class LinearGradientSums {
 public:
  // Begins with zeros; memory is kept. The parts must outlive the sums.
  void begin(std::span<const LinearSlices* const> parts, GradientVisitor& visitor);
  // input: [tokens, in_features]. output_gradient: [tokens, out_features of all parts].
  void add(ConstMatrixView input, ConstMatrixView output_gradient);
  // Tensor by tensor: weights in the order of the parts, then biases. Parts of one tensor follow each other.
  void hand_over(const TensorSource& weights, GradientVisitor& visitor) const;
  // The sums of the weights that are wanted, [their rows, in_features]; the object is empty then. For sums that go on
  // elsewhere. Something must have been added.
  AlignedBuffer<float> take_weights() { return std::move(weights_); }

  // The names in that order, wanted or not.
  static void append_names(std::span<const LinearSlices* const> parts, std::vector<std::string>& names);

 private:
  struct Part {
    const LinearSlices* slices;
    std::size_t begin = 0;  // first output among those of all parts
    bool weight_wanted = false, bias_wanted = false;
    std::size_t sum_row = 0;  // in weights_
  };
  std::vector<Part> parts_;
  std::size_t wanted_rows_ = 0;
  bool nothing_added_ = true;
  AlignedBuffer<float> weights_;  // [wanted rows, in_features]
  std::vector<double> biases_;    // [out_features of all parts], or empty
};

// The gradients of a norm's gain and bias, in double. Empty spans where the visitor doesn't want them.
class NormGradientSums {
 public:
  void begin(const NormSlices& slices, GradientVisitor& visitor);
  std::span<double> gain() { return gain_; }
  std::span<double> bias() { return bias_; }
  void hand_over(const TensorSource& weights, GradientVisitor& visitor) const;

  static void append_names(const NormSlices& slices, std::vector<std::string>& names);

 private:
  const NormSlices* slices_ = nullptr;
  std::vector<double> gain_, bias_;
};

}  // namespace lcomp
