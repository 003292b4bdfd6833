#pragma once

#include "lcomp/allocators/bit_allocator.h"

namespace lcomp {

// One width a component, those with which the sum of their costs is least (knapsack.h): the best there is where costs
// add up. Considers every choice of every component.
class AcrossAllocator : public BitAllocator {
 public:
  std::vector<std::size_t> allocate(const AllocationProblem& problem, const ChoiceError& error) const override;
  std::string name() const override { return "across"; }
};

}  // namespace lcomp
