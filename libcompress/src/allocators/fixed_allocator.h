#pragma once

#include "lcomp/allocators/bit_allocator.h"

namespace lcomp {

// One bit width for all, as far as that goes. Every component gets the largest width w at which all of them fit
// the budget (a component without choice w: its next smaller one, or its smallest). What is left of the budget raises
// components to their next choice, in order of the largest reduction of error per byte; one that no longer fits is
// passed over, one whose error would not fall is left. The error is asked for at two choices of each component. O(n log
// n) for n components.
class FixedAllocator : public BitAllocator {
 public:
  std::vector<std::size_t> allocate(const AllocationProblem& problem, const ChoiceError& error) const override;
};

}  // namespace lcomp
