#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lcomp {

// Metrics of one position from its logits: float32 logits, float64 arithmetic, natural logarithms.

// -log softmax(logits)[target] = log sum_v exp(logits_v) - logits_target. The maximum is subtracted first, so that
// large logits do not overflow. target < logits.size().
double negative_log_likelihood(std::span<const float> logits, std::size_t target);

// Comparison of the two models' predictions at one position.
struct Divergence {
  double kl = 0;          // KL(p_reference || p_model) = sum_v p_ref(v) (log p_ref(v) - log p_model(v)) >= 0
  bool same_top = false;  // both models have the same most likely token (ties: the lowest id)
};

// reference, model: logits of the same vocabulary.
Divergence divergence(std::span<const float> reference, std::span<const float> model);

// Mean, median, 99th percentile and maximum of per-token values. The median of an even number is the mean of the middle
// two; the percentile is interpolated linearly between order statistics. Throws Error when `values` is empty.
struct Distribution {
  double mean = 0, median = 0, p99 = 0, maximum = 0;
};
Distribution summarize(std::vector<double> values);

}  // namespace lcomp
