#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "lcomp/allocators/allocation_policy.h"
#include "lcomp/allocators/size_budget.h"
#include "lcomp/quantizers/rate/rate_curve.h"

namespace lcomp {

// One component as the budget sees it before it is compressed.
struct RateBudgetComponent {
  int kind = 0;  // components that are alike have the same
  std::uint64_t weights = 0;
  std::uint64_t side_bytes = 0;  // steps and the like, about
  RateCurve curve;
  double precision_offset = 0;  // added to the common precision
  double min_bits = 0;          // bits per weight, payload; pinned by the user
  double max_bits = std::numeric_limits<double>::infinity();
};

// The budget of rate-coded components, whose sizes are known only after coding. Before each, the precision is chosen at
// which what is left is expected to be used up, by the curves times the ratio of true to expected bits of those done so
// far (by kind: one that is like it). The last component takes what is left, exactly.
//   by_cost   the same precision for each, plus its offset: a byte more lowers the cost by as much everywhere.
//             Precisions drift by a hundredth of a bit from first to last, which costs nothing that can be measured.
//   equal     the same bits per weight for each
class RateBudget : public SizeBudget {
 public:
  // budget: bytes for these components. Throws Error when it is less than they take with all weights zero (with
  // min_bits where given), or more than they can take, saying how much that is.
  RateBudget(AllocationPolicy::Across across, std::uint64_t budget, std::vector<RateBudgetComponent> components);

  SizeOrder order(std::size_t index) const override;
  // True for the first of its kind whose bytes are more than a hundredth off.
  bool took(std::size_t index, std::uint64_t bytes, std::optional<double> precision, bool may_repeat) override;

 private:
  double expected_bytes(std::size_t index, double precision) const;
  double common_precision() const;
  double correction(std::size_t index) const;

  AllocationPolicy::Across across_;
  double budget_;
  std::uint64_t left_;  // bytes
  std::uint64_t weights_left_ = 0;
  std::vector<RateBudgetComponent> components_;
  std::vector<bool> done_;
  std::size_t open_;
  std::map<int, double> ratios_;  // true over expected bits of codes by kind, weighted towards the latest
};

}  // namespace lcomp
