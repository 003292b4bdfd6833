#include "lcomp/allocators/bit_allocator.h"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

#include "allocators/across_allocator.h"
#include "allocators/equal_bits_allocator.h"
#include "lcomp/allocators/fixed_allocator.h"
#include "lcomp/core/error.h"

namespace lcomp {

std::unique_ptr<BitAllocator> make_allocator(const AllocationPolicy& policy) {
  if (policy.across == AllocationPolicy::Across::by_cost) return std::make_unique<AcrossAllocator>();
  if (policy.within == AllocationPolicy::Within::by_sensitivity) return std::make_unique<EqualBitsAllocator>();
  return std::make_unique<FixedAllocator>();
}

void require_feasible(const AllocationProblem& problem) {
  std::uint64_t least = problem.other_bytes;
  for (const AllocatableComponent& component : problem.components) {
    assert(!component.choices.empty());
    least += component.choices.front().bytes;
  }
  if (least <= problem.budget) return;
  const double parameters = static_cast<double>(std::max<std::uint64_t>(problem.parameters, 1));
  throw Error({"target size", fmt::format("{} bytes", problem.budget),
               fmt::format("at least {} bytes: {:.4f} bits per weight, ratio {:.4f}", least,
                           8 * static_cast<double>(least) / parameters, 2 * parameters / static_cast<double>(least)),
               "larger groups, or 8-bit scales, take fewer bytes"});
}

}  // namespace lcomp
