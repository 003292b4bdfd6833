#include "compression/allocation/kept_factors.h"

namespace lcomp {

std::shared_ptr<const LayerImportance> KeptFactors::importance(
    ConstMatrixView weight, const RateCodedOptions& options, const std::string& component,
    const std::function<std::shared_ptr<const LayerStats>()>& statistics) {
  const ImportanceOptions wanted = importance_options(options);
  const auto kept = kept_.find(component);
  if (kept != kept_.end() && kept->second.options == wanted) return kept->second.importance;
  const std::shared_ptr<const LayerStats> known = statistics();
  auto found = find_rate_coded_importance(weight, known != nullptr ? *known : LayerStats{}, options, component);
  const std::uint64_t bytes =
      found->factor.root.size() * sizeof(float) + (found->rows.size() + found->factor.order.size()) * sizeof(double);
  if (kept == kept_.end() && bytes <= left_) {
    left_ -= bytes;
    kept_.emplace(component, Kept{wanted, found});
  }
  return found;
}

}  // namespace lcomp
