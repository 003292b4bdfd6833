#include "lcomp/allocators/bit_allocator.h"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

#include "allocators/across_allocator.h"
#include "allocators/equal_bits_allocator.h"
#include "allocators/fixed_allocator.h"
#include "lcomp/core/error.h"
#include "lcomp/formats/model_size.h"

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
  const ModelSize smallest{problem.parameters, least};
  throw Error({"target size", fmt::format("{} bytes", problem.budget),
               fmt::format("at least {} bytes: {:.4f} bits per weight, ratio {:.4f}", least, smallest.bits_per_weight(),
                           smallest.ratio()),
               "larger groups, or 8-bit scales, take fewer bytes"});
}

}  // namespace lcomp
