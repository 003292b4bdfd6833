#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lcomp {

// How bits are shared out among the components of a model under a byte budget.

struct WidthChoice {
  int bits = 0;
  std::uint64_t bytes = 0;  // what the component takes at this width, everything counted
};

struct AllocatableComponent {
  std::string name;
  std::vector<WidthChoice> choices;  // at least one; bits and bytes both ascending
};

struct AllocationProblem {
  std::vector<AllocatableComponent> components;
  std::uint64_t budget = 0;       // bytes for the whole model
  std::uint64_t other_bytes = 0;  // what is stored besides these components: norms, components of a fixed width
  std::uint64_t parameters = 0;   // of the whole model, for messages
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
  virtual std::string name() const = 0;
};

// The one table of allocators. An unknown name is answered with the known ones.
std::vector<std::string> allocator_names();
std::unique_ptr<BitAllocator> make_allocator(std::string_view name);

// Throws Error when the smallest choices exceed the budget.
void require_feasible(const AllocationProblem& problem);

}  // namespace lcomp
