#include "lcomp/allocators/bit_allocator.h"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "allocators/across_allocator.h"
#include "lcomp/allocators/fixed_allocator.h"
#include "lcomp/core/error.h"

namespace lcomp {

std::vector<std::string> allocator_names() { return {"fixed", "across", "within", "second_order", "learned"}; }

std::unique_ptr<BitAllocator> make_allocator(std::string_view name) {
  if (name == "fixed") return std::make_unique<FixedAllocator>();
  if (name == "across") return std::make_unique<AcrossAllocator>();
  const std::vector<std::string> known = allocator_names();
  if (std::find(known.begin(), known.end(), name) != known.end()) {
    throw Error({"allocator", fmt::format("\"{}\" for components of fixed width", name), "fixed or across",
                 "rate-coded components (method rate) have the others"});
  }
  throw Error({"allocator", fmt::format("\"{}\"", name), fmt::format("one of {}", fmt::join(known, ", ")), ""});
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
