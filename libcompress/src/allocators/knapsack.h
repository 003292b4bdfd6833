#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lcomp {

// One way to store a component: what it takes and what it costs.
struct KnapsackChoice {
  std::uint64_t bytes = 0;
  double loss = 0;  // finite
};

struct KnapsackSolution {
  std::vector<std::size_t> choices;  // one of each component
  std::uint64_t bytes = 0;
  double loss = 0;
  double bound = 0;  // no selection within the budget has less loss; `loss` where this one is proven best
};

// The multiple-choice knapsack problem: one choice of each component, sum of bytes <= budget, least sum of losses.
// Choices may be in any order and needn't be convex or monotone; of each component at least one.
// Exact: the Lagrangian relaxation (the lower convex hulls of all components, filled up in order of their slopes) gives
// a selection and a bound; choices and partial selections that can't get below the selection are left out, and among
// the others dynamic programming over (bytes, loss) pairs that no other pair dominates finds the best (Kellerer,
// Pferschy, Pisinger, Knapsack Problems, 2004, section 11). Should more than `most_states` pairs be alive after a
// component, the most promising go on and `bound` tells how far from the best the result may be; some hundred
// components of eight choices need a few thousand. Deterministic. Throws Error where even the smallest choices exceed
// the budget, and for a loss that is not finite.
KnapsackSolution solve_knapsack(const std::vector<std::vector<KnapsackChoice>>& components, std::uint64_t budget,
                                std::size_t most_states = std::size_t{1} << 20);

}  // namespace lcomp
