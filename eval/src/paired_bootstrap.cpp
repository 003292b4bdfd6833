#include "lcomp/eval/paired_bootstrap.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <vector>

#include "lcomp/core/rng.h"

namespace lcomp {

std::optional<PairedDifference> paired_bootstrap(std::span<const double> first, std::span<const double> second,
                                                 std::size_t resamples, std::uint64_t seed) {
  assert(first.size() == second.size() && resamples >= 100);
  constexpr std::size_t fewest = 5;
  const std::size_t n = first.size();
  if (n < fewest) return std::nullopt;
  std::vector<double> differences(n);
  for (std::size_t i = 0; i < n; ++i) differences[i] = first[i] - second[i];
  PairedDifference result;
  result.pairs = n;
  result.mean = std::accumulate(differences.begin(), differences.end(), 0.0) / static_cast<double>(n);

  Rng rng(seed);
  std::vector<double> means(resamples);
  for (double& mean : means) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += differences[rng.below(n)];
    mean = sum / static_cast<double>(n);
  }
  std::sort(means.begin(), means.end());
  const auto quantile = [&](double q) {
    return means[static_cast<std::size_t>(q * static_cast<double>(resamples - 1) + 0.5)];
  };
  result.low = quantile(0.025);
  result.high = quantile(0.975);
  const auto below = std::upper_bound(means.begin(), means.end(), 0.0) - means.begin();  // <= 0
  const auto above = means.end() - std::lower_bound(means.begin(), means.end(), 0.0);    // >= 0
  // The sample itself counts as a draw, so that no p is zero.
  result.p_value =
      std::min(1.0, 2.0 * static_cast<double>(std::min(below, above) + 1) / static_cast<double>(resamples + 1));
  return result;
}

}  // namespace lcomp
