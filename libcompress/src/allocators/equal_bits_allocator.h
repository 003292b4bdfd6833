#pragma once

#include "lcomp/allocators/bit_allocator.h"

namespace lcomp {

// The same bits per weight for every component, as far as that goes: each gets the largest choice of at most so many
// (or its smallest), the most at which all fit the budget. What is left raises components to their next choice, in the
// order of the largest fall of error per byte; one that no longer fits is passed over. The error is asked for at two
// choices of each component. Differs from FixedAllocator where choices are finer than whole bit widths.
class EqualBitsAllocator : public BitAllocator {
 public:
  std::vector<std::size_t> allocate(const AllocationProblem& problem, const ChoiceError& error) const override;
};

}  // namespace lcomp
