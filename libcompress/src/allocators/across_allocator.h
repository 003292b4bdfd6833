#pragma once

#include "lcomp/allocators/bit_allocator.h"

namespace lcomp {

// The choices with which the sum of the components' costs is least (knapsack.h): the best there is where costs add up.
// Considers every choice of every component.
class AcrossAllocator : public BitAllocator {
 public:
  std::vector<std::size_t> allocate(const AllocationProblem& problem, const ChoiceError& error) const override;
};

}  // namespace lcomp
