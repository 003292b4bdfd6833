#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "compression/allocation/kept_factors.h"
#include "compression/allocation/width_costs.h"
#include "lcomp/allocators/allocation_policy.h"
#include "lcomp/allocators/bit_allocator.h"
#include "lcomp/allocators/rate_budget.h"
#include "lcomp/allocators/size_budget.h"
#include "lcomp/compression/learned_steps.h"
#include "lcomp/compression/statistics_source.h"
#include "lcomp/io/tensor_source.h"
#include "lcomp/models/model_components.h"
#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

namespace lcomp {

// What components are measured with while a budget is shared out.
struct BudgetInputs {
  AllocationPolicy policy;
  const TensorSource& tensors;
  RandomAccessStatistics* statistics = nullptr;  // null where policy and kind need none
  WidthCosts& width_costs;
  KeptFactors& factors;  // outlives the quantizers of the components

  // Throws Error for a component without sensitivity where the policy needs one.
  std::shared_ptr<const LayerStats> known(const ModelComponent& component) const;
};

// A component whose size a budget decides: one of a list of sizes, or any size along a curve.
class BudgetedComponent {
 public:
  virtual ~BudgetedComponent() = default;

  // The sizes to choose from; empty where curve() has them.
  virtual std::vector<SizeChoice> choices() const { return {}; }
  // What a choice costs, in a unit that can be added over components. May read and quantize the weight.
  virtual double cost(std::size_t /*choice*/, const BudgetInputs& /*inputs*/) const { return 0; }
  // How the size depends on the precision, where it is known only after coding.
  virtual std::optional<RateBudgetComponent> curve() const { return std::nullopt; }

  // What quantizes the component as ordered: order.choice where there are choices, else order.precision or order.bytes.
  virtual std::unique_ptr<Quantizer> quantizer(const SizeOrder& order) const = 0;

  // About how many bits the component would grow by when its precision rose, per unit; 0 where it has none.
  virtual double bits_slope(const CompressedWeight& /*weight*/) const { return 0; }
};

// A component of a compressed model, and the gradient of a cost C there.
struct MeasuredComponent {
  const ModelComponent& component;
  ConstMatrixView weight, gradient, error;  // W, dC / dW^, W^ - W
  std::uint64_t bytes = 0;
  double bits_slope = 0;
};

// A kind of weight whose size a setting can leave open: the place that knows when it does, and what follows from it.
// Kinds stand in the table of budgeted_kinds.h.
class BudgetedKind {
 public:
  struct Traits {
    std::string_view name;          // "fixed width": in "components of fixed width"
    std::string_view missing_keys;  // what an open setting leaves out, for an error
    // Sizes are known beforehand; what is measured, by cost(), is the cost of those that the allocator considers.
    // False: components are measured when they are opened, with statistics.
    bool known_sizes = false;
    bool uniform_only = false;                           // rows and columns can't differ
    AllocationPolicy default_policy;                     // where a plan names none
    std::string_view progress_label;                     // of the measuring
    std::size_t knapsack_states = std::size_t{1} << 20;  // AllocationProblem's
  };

  virtual ~BudgetedKind() = default;
  virtual const Traits& traits() const = 0;

  // Whether a setting is of this kind and leaves its size open.
  virtual bool is_open(const QuantizerSetting& setting) const = 0;

  // rounds_input: the component's product is with integer activations.
  virtual std::unique_ptr<BudgetedComponent> open(const ModelComponent& component, const QuantizerSetting& setting,
                                                  bool rounds_input, const BudgetInputs& inputs) const = 0;

  // Where learned allocation starts from; nothing: its sizes can't be learned.
  virtual std::optional<LearnedSteps> first_steps(const QuantizerSetting& setting) const;
  // How cost and bits change with the steps of a component. Without knowledge of single steps: those of all together,
  // cost = <dC / dW^, W^ - W>, to which errors are proportional, and bits_slope.
  virtual StepDerivatives step_derivatives(const QuantizerSetting& setting, const MeasuredComponent& measured,
                                           RandomAccessStatistics* statistics, KeptFactors& factors) const;
};

}  // namespace lcomp
