#pragma once

#include <cstddef>
#include <cstdint>

namespace lcomp {

// The inner loops of training, vectorised (Highway, chosen at run time) with the same results everywhere. One thread.

// code = clamp(round(w / step), low, high) - low, halves to even; `low` and `high` are integers. [size]
void codes_of_steps(const float* weight, std::size_t size, float step, float low, float high, std::uint8_t* codes);

// LSQ's gradients of one group (projected_weights.h). gradient: with respect to the rounded weights; 0 afterwards where
// w / step is `low` or less, or `high` or more. Returns the sum of gradient times what it is of the step: low or high
// there, round(w / step) - w / step elsewhere.
double pass_back_to_step(const float* weight, std::size_t size, float step, float low, float high, float* gradient);

// One AdamW update (adamw.h) with everything that is the same for all values made ready.
struct AdamWFactors {
  float gradient_scale;
  float beta1, rest1, beta2, rest2;  // rest: 1 - beta
  float decay;                       // 1 - rate * weight_decay
  float rate;                        // rate / (1 - beta1^t)
  float root;                        // 1 / sqrt(1 - beta2^t)
  float epsilon;
};
void adamw_values(const AdamWFactors& factors, const float* gradient, std::size_t size, float* first_moment,
                  float* second_moment, float* parameters);

}  // namespace lcomp
