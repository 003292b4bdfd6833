#include "allocators/across_allocator.h"

#include "allocators/knapsack.h"

namespace lcomp {

std::vector<std::size_t> AcrossAllocator::allocate(const AllocationProblem& problem, const ChoiceError& error) const {
  require_feasible(problem);
  std::vector<std::vector<KnapsackChoice>> components(problem.components.size());
  for (std::size_t i = 0; i < components.size(); ++i) {
    for (std::size_t j = 0; j < problem.components[i].choices.size(); ++j) {
      components[i].push_back({problem.components[i].choices[j].bytes, error(i, j)});
    }
  }
  return solve_knapsack(components, problem.budget - problem.other_bytes, problem.knapsack_states).choices;
}

}  // namespace lcomp
