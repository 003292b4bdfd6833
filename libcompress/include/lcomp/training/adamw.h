#pragma once

#include <cstdint>
#include <span>

namespace lcomp {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
};

// One update of AdamW with decoupled decay:
//   p *= 1 - learning_rate * weight_decay
//   m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
//   p -= learning_rate * (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon)
// with g = gradient_scale * gradient (clipping). All spans have the same size. step: 1 for the first update. float32;
// every value on its own, so that the result doesn't depend on the number of threads.
// Source: arXiv 1711.05101, algorithm 2, as in PyTorch (the learning rate multiplies the decay). O(n), memory speed.
void adamw_update(const AdamWOptions& options, double learning_rate, std::uint64_t step, float gradient_scale,
                  std::span<const float> gradient, std::span<float> first_moment, std::span<float> second_moment,
                  std::span<float> parameters);

// The Euclidean norm in double; pieces of a fixed size are summed in order, whatever the number of threads.
double euclidean_norm(std::span<const float> values);

}  // namespace lcomp
