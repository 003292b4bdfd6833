#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lcomp/allocators/allocation_policy.h"

namespace lcomp {

// How a byte budget is shared out among components that can be stored in a few sizes each: bit widths, widths of bands,
// block types. Components of continuous size have rate_budget.h.

struct SizeChoice {
  int bits = 0;             // bit width of the codes; of the widest where they differ
  std::uint64_t bytes = 0;  // payload of the component, everything counted
};

struct AllocatableComponent {
  std::string name;
  std::vector<SizeChoice> choices;  // at least one; bits and bytes both ascending
  std::uint64_t weights = 0;        // for bits per weight, EqualBitsAllocator
};

struct AllocationProblem {
  std::vector<AllocatableComponent> components;
  std::uint64_t budget = 0;       // bytes for the whole model
  std::uint64_t other_bytes = 0;  // what is stored besides these components: norms, components of a fixed size
  std::uint64_t parameters = 0;   // of the whole model, for messages
  // The most states of the knapsack's search (knapsack.h), AcrossAllocator.
  std::size_t knapsack_states = std::size_t{1} << 20;
};

// What a component costs at one of its choices, in any unit that can be added over components (squared error, perhaps
// weighted; an estimate of the loss). Called for the choices that the allocator considers, once each.
using ChoiceError = std::function<double(std::size_t component, std::size_t choice)>;

class BitAllocator {
 public:
  virtual ~BitAllocator() = default;

  // The index of the choice of each component; other_bytes + their bytes is at most the budget. Deterministic. Throws
  // Error when even the smallest choices are too large, saying the smallest size that can be reached.
  virtual std::vector<std::size_t> allocate(const AllocationProblem& problem, const ChoiceError& error) const = 0;
};

// The one table of allocators.
std::unique_ptr<BitAllocator> make_allocator(const AllocationPolicy& policy);

// Throws Error when the smallest choices exceed the budget.
void require_feasible(const AllocationProblem& problem);

}  // namespace lcomp
