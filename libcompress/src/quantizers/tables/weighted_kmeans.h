#pragma once

#include <cstddef>
#include <vector>

#include "lcomp/core/rng.h"
#include "quantizers/tables/sorted_weights.h"

namespace lcomp {

// The levels of a codebook: k-means in one dimension. Levels l_1 <= ... <= l_k that make
//   sum_j c_j min_k (w_j - l_k)^2
// small, ascending. With fewer different weights than levels the last level repeats. No weights: all 0.

// The least possible error, by dynamic programming over the ends of stretches of the sorted weights (each level serves
// one): least error of the first i weights with m levels = min over h of that of the first h with m - 1 levels + the
// error of weights h .. i - 1 about their mean. The best h grows with i, which divides the work: O(k n log n). Of more
// than `most_ends` different weights only so many places can be ends, spread as the best levels of a fine codebook are,
// and Lloyd's iteration then moves the levels to where they belong: with 256 ends and up to 4 bits the error is within
// a percent of the least. Source: arXiv 1701.07204.
std::vector<double> exact_kmeans(const SortedWeights& weights, std::size_t levels, std::size_t most_ends = 4096);

// Lloyd's iteration from a k-means++ start (D^2 weighing, Arthur and Vassilvitskii 2007) drawn from `rng`: a local
// optimum. O(k log n) an iteration, O(k n) the start.
std::vector<double> lloyd_kmeans(const SortedWeights& weights, std::size_t levels, Rng& rng);

// sum_j c_j min_k (w_j - l_k)^2 for ascending levels.
double kmeans_error(const SortedWeights& weights, const std::vector<double>& levels);

}  // namespace lcomp
