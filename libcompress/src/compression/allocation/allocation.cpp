#include "compression/allocation/allocation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "compression/allocation/budgeted_kinds.h"
#include "lcomp/core/error.h"
#include "lcomp/core/stage_times.h"

namespace lcomp {
namespace {

// The one kind of components whose size is open; null where none is.
const BudgetedKind* kind_of(const PlannedModel& planned) {
  std::optional<OpenSize> found;
  for (const ComponentSetting& setting : planned.settings) {
    if (!setting.open) continue;
    if (found && *found != *setting.open) {
      throw Error(
          {"target",
           fmt::format("open components of several kinds ({}) in one plan", fmt::join(budgeted_kind_names(), ", ")),
           "one kind", "give \"bits\" to the others"});
    }
    found = setting.open;
  }
  return found ? &budgeted_kind(*found) : nullptr;
}

void require_policy(const AllocationPolicy& policy, const BudgetedKind::Traits& kind) {
  if (kind.uniform_only && policy.within == AllocationPolicy::Within::by_sensitivity) {
    throw Error({"allocator", fmt::format("\"{}\" for components of {}", name(policy), kind.name), "fixed or across",
                 "rate-coded components (method rate) have the others"});
  }
  if (policy.learned) {
    throw Error({"allocator", "\"learned\" without texts to learn from", "texts, or another allocator", ""});
  }
}

// Statistics of the original, where sharing out needs any; else null.
RandomAccessStatistics* statistics_for(const AllocationPolicy& policy, const BudgetedKind::Traits& kind,
                                       const StatisticsSource& statistics) {
  if (kind.known_sizes && policy.across == AllocationPolicy::Across::equal) return nullptr;
  const ErrorParts without = {"target", fmt::format("a budget for {} components without statistics", kind.name),
                              "statistics of the original, with sensitivities",
                              "lcomp calibrate --sensitivity divergence makes them, for --statistics"};
  ErrorParts sequential = without;
  sequential.found = "statistics of the model as it is compressed, for a budget";
  return &original_statistics(statistics, without, std::move(sequential));
}

// Refuses a budget outside the sizes that the components can have.
void require_reachable(const AllocationProblem& problem, std::string_view kind) {
  std::uint64_t least = 0, most = 0;
  for (const AllocatableComponent& component : problem.components) {
    least += component.choices.front().bytes;
    most += component.choices.back().bytes;
  }
  const std::uint64_t budget = problem.budget - problem.other_bytes;
  const std::string found = fmt::format("{} bytes for the {} components", budget, kind);
  if (budget < least) {
    throw Error(
        {"target size", found, fmt::format("at least {} bytes for them", least), "lower min_bits, or a larger target"});
  }
  if (budget > most) {
    throw Error(
        {"target size", found, fmt::format("at most {} bytes for them", most), "raise max_bits, or a smaller target"});
  }
}

std::vector<std::size_t> choose(const AllocationProblem& problem,
                                const std::vector<std::unique_ptr<BudgetedComponent>>& components,
                                const BudgetInputs& inputs, const BudgetedKind::Traits& kind,
                                const ProgressCallback& callback) {
  if (!kind.known_sizes) require_reachable(problem, kind.name);
  std::uint64_t measurements = 0;  // in weights
  if (kind.known_sizes) {
    for (const AllocatableComponent& component : problem.components) {
      const bool all = inputs.policy.across == AllocationPolicy::Across::by_cost;
      measurements += component.weights * (all ? component.choices.size() : 2);
    }
  }
  std::optional<Progress> progress;
  if (kind.known_sizes) progress.emplace(callback, std::string(kind.progress_label), measurements);
  return make_allocator(inputs.policy)->allocate(problem, [&](std::size_t component, std::size_t choice) {
    const double cost = components[component]->cost(choice, inputs);
    if (progress) progress->advance(problem.components[component].weights);
    return cost;
  });
}

}  // namespace

Allocation::Allocation(const PlannedModel& planned, const CompressOptions& options, KeptFactors& factors,
                       const ProgressCallback& callback) {
  if (!planned.plan.target) return;
  const StageTimer timer("allocation");
  const BudgetedKind* const kind = kind_of(planned);
  const AllocationPolicy& policy = planned.plan.allocation;
  if (kind != nullptr) require_policy(policy, kind->traits());
  AllocationProblem problem;
  problem.parameters = planned.model.parameters();
  problem.budget = planned.plan.target->budget(problem.parameters);
  problem.other_bytes = planned.decided_bytes() + options.reserved_bytes;
  if (kind == nullptr) {
    throw Error({"target", "every component has its width already", "a setting without \"bits\"",
                 "leave out \"bits\", or the target"});
  }
  const BudgetedKind::Traits& traits = kind->traits();
  if (!traits.known_sizes && problem.other_bytes > problem.budget) {
    throw Error({"target size", fmt::format("{} bytes", problem.budget),
                 fmt::format("at least {} bytes, which the other components take", problem.other_bytes), ""});
  }
  RandomAccessStatistics* const statistics = statistics_for(policy, traits, options.statistics);
  const bool keeps_costs = traits.known_sizes && statistics != nullptr;
  WidthCosts width_costs(keeps_costs ? options.costs : Workspace());
  const BudgetInputs inputs{policy, *planned.model.tensors, statistics, width_costs, factors};

  problem.knapsack_states = traits.knapsack_states;
  std::vector<RateBudgetComponent> curves;
  std::uint64_t weights = 0;
  for (std::size_t i = 0; i < planned.components.size(); ++i) {
    if (planned.settings[i].open) weights += planned.components[i].parameters();
  }
  std::optional<Progress> progress;
  if (!traits.known_sizes) progress.emplace(callback, std::string(traits.progress_label), weights);
  for (std::size_t i = 0; i < planned.components.size(); ++i) {
    if (!planned.settings[i].open) continue;
    const ModelComponent& component = planned.components[i];
    places_.emplace(i, components_.size());
    components_.push_back(kind->open(component, *planned.settings[i].quantizer, planned.rounds_input(i), inputs));
    if (const auto curve = components_.back()->curve()) curves.push_back(*curve);
    problem.components.push_back({component.name, components_.back()->choices(), component.parameters()});
    if (progress) progress->advance(component.parameters());
  }
  if (curves.empty()) {
    budget_ = std::make_unique<ChosenSizes>(choose(problem, components_, inputs, traits, callback));
  } else {
    budget_ = std::make_unique<RateBudget>(policy.across, problem.budget - problem.other_bytes, std::move(curves));
  }
}

SizeOrder Allocation::order(std::size_t component) const { return budget_->order(places_.at(component)); }

std::shared_ptr<const Quantizer> Allocation::quantizer(std::size_t component, const SizeOrder& order) const {
  return at(component).quantizer(order);
}

bool Allocation::took(std::size_t component, const SizeOrder& order, std::uint64_t bytes, bool may_repeat) {
  return budget_->took(places_.at(component), bytes, order.precision, may_repeat);
}

double Allocation::bits_slope(std::size_t component, const CompressedWeight& weight) const {
  return at(component).bits_slope(weight);
}

}  // namespace lcomp
