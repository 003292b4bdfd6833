#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace lcomp {

// Mean difference of a metric between two models on the same sequences.
struct PairedDifference {
  std::size_t pairs = 0;
  double mean = 0;           // mean of first - second
  double low = 0, high = 0;  // 95 % interval of the mean
  double p_value = 1;        // two-sided: twice the fraction of means beyond zero; at least 2 / (resamples + 1)

  bool distinguishable() const { return low > 0 || high < 0; }
};

// Percentile bootstrap of the mean difference: `resamples` draws of pairs with replacement, from a stream of `seed`.
//   d_i = first_i - second_i;   interval: the 2.5 % and 97.5 % quantiles of mean(d_j1 ... d_jn)
// first, second: one value per sequence (mean negative log-likelihood, KL divergence), in the same order. The test is
// paired because a difficult sequence is difficult for both models. Returns nothing for fewer than 5 pairs, which do
// not allow an interval. Sequences are taken as independent; neighbouring windows of one text are nearly so. Source:
// Efron and Tibshirani, An Introduction to the Bootstrap, 13.3. O(resamples * pairs).
std::optional<PairedDifference> paired_bootstrap(std::span<const double> first, std::span<const double> second,
                                                 std::size_t resamples = 10000, std::uint64_t seed = 0);

}  // namespace lcomp
