#include "compression/allocation/budgeted_component.h"

#include <numeric>

#include "lcomp/core/eigen_view.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

double inner_product(ConstMatrixView a, ConstMatrixView b) {
  std::vector<double> of_rows(a.rows(), 0.0);
  parallel_for(
      0, a.rows(),
      [&](std::size_t i) { of_rows[i] = as_eigen(a.row(i)).cast<double>().dot(as_eigen(b.row(i)).cast<double>()); },
      64);
  return std::accumulate(of_rows.begin(), of_rows.end(), 0.0);
}

}  // namespace

std::shared_ptr<const LayerStats> BudgetInputs::known(const ModelComponent& component) const {
  std::shared_ptr<const LayerStats> stats = statistics->statistics(component);
  if (policy.across == AllocationPolicy::Across::equal || (stats != nullptr && stats->sensitivity != nullptr)) {
    return stats;
  }
  throw Error({component.name, "no sensitivity: how much the cost depends on it",
               "that of every component, for allocator " + name(policy),
               "lcomp calibrate --sensitivity divergence gathers them"});
}

std::optional<LearnedSteps> BudgetedKind::first_steps(const QuantizerSetting& /*setting*/) const {
  return std::nullopt;
}

StepDerivatives BudgetedKind::step_derivatives(const QuantizerSetting& /*setting*/, const MeasuredComponent& measured,
                                               RandomAccessStatistics* /*statistics*/, KeptFactors& /*factors*/) const {
  StepDerivatives prices;
  prices.cost = inner_product(measured.gradient, measured.error);
  prices.bits = measured.bits_slope;
  return prices;
}

}  // namespace lcomp
