#include "lcomp/allocators/allocation_policy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <iterator>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using Across = AllocationPolicy::Across;
using Within = AllocationPolicy::Within;

struct NamedPolicy {
  const char* name;
  AllocationPolicy policy;
};

constexpr NamedPolicy named_policies[] = {
    {"fixed", {Across::equal, Within::uniform, false}},
    {"across", {Across::by_cost, Within::uniform, false}},
    {"within", {Across::equal, Within::by_sensitivity, false}},
    {"second_order", {Across::by_cost, Within::by_sensitivity, false}},
    {"learned", {Across::by_cost, Within::by_sensitivity, true}},
};

}  // namespace

std::vector<std::string> allocator_names() {
  std::vector<std::string> names;
  for (const NamedPolicy& entry : named_policies) names.emplace_back(entry.name);
  return names;
}

AllocationPolicy allocation_policy(std::string_view name) {
  for (const NamedPolicy& entry : named_policies) {
    if (name == entry.name) return entry.policy;
  }
  throw Error(
      {"allocator", fmt::format("\"{}\"", name), fmt::format("one of {}", fmt::join(allocator_names(), ", ")), ""});
}

std::string name(const AllocationPolicy& policy) {
  const auto found = std::ranges::find(named_policies, policy, &NamedPolicy::policy);
  assert(found != std::end(named_policies));
  return found->name;
}

}  // namespace lcomp
