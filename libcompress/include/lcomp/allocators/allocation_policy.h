#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lcomp {

// How a byte budget is shared out across the components of a model, and within each of them. Names:
//                    uniform     by_sensitivity
//   equal            fixed       within
//   by_cost          across      second_order; learned, which goes on from there
struct AllocationPolicy {
  enum class Across {
    equal,    // the same bits per weight for every component, as far as that goes
    by_cost,  // least sum of the components' costs: one Lagrange multiplier, cost per byte, for all of them
  };
  enum class Within {
    uniform,         // one bit width, or one step, for all weights of a component
    by_sensitivity,  // bit widths or steps by the importance of rows and columns
  };
  Across across = Across::equal;
  Within within = Within::uniform;
  bool learned = false;  // then improved by the gradient of the true cost (compression/learned_allocation.h)

  bool operator==(const AllocationPolicy&) const = default;
};

// Every name, in the order of the table above.
std::vector<std::string> allocator_names();

// Throws Error for an unknown name, listing the known ones.
AllocationPolicy allocation_policy(std::string_view name);

// The inverse. `learned` is for by_cost and by_sensitivity alone (asserted).
std::string name(const AllocationPolicy& policy);

}  // namespace lcomp
