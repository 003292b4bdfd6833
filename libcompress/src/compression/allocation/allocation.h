#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "compression/allocation/budgeted_component.h"
#include "compression/planned_model.h"
#include "lcomp/compression/compress_model.h"
#include "lcomp/core/progress.h"

namespace lcomp {

// How the target of a plan is shared out among the components whose size it leaves open. Sizes that can be chosen from
// a list are all chosen when the object is made; those of rate-coded components as they are compressed.
class Allocation {
 public:
  // Nothing to share out where the plan has no target. factors: outlives the object. Throws Error for a target that
  // can't be met (saying what can), with nothing open or components of several kinds; for a policy that the kind can't
  // follow; and where statistics are needed and missing.
  Allocation(const PlannedModel& planned, const CompressOptions& options, KeptFactors& factors,
             const ProgressCallback& progress);

  // Whether it decides the size of a component (index into PlannedModel::components).
  bool decides(std::size_t component) const { return places_.contains(component); }

  // Of such a component, in the order of compression, each once: how large it is to become,
  SizeOrder order(std::size_t component) const;
  // what makes it so,
  std::shared_ptr<const Quantizer> quantizer(std::size_t component, const SizeOrder& order) const;
  // and what came of it. True: it is to be ordered and made again (never unless may_repeat).
  bool took(std::size_t component, const SizeOrder& order, std::uint64_t bytes, bool may_repeat);

  // About how many bits it would grow by when its precision rose, per unit; 0: it has none.
  double bits_slope(std::size_t component, const CompressedWeight& weight) const;

 private:
  const BudgetedComponent& at(std::size_t component) const { return *components_[places_.at(component)]; }

  std::map<std::size_t, std::size_t> places_;  // of a component in components_
  std::vector<std::unique_ptr<BudgetedComponent>> components_;
  std::unique_ptr<SizeBudget> budget_;
};

}  // namespace lcomp
