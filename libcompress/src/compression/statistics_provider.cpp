#include "lcomp/compression/statistics_provider.h"

#include <numeric>

namespace lcomp {

std::vector<std::size_t> forward_order(const std::vector<ModelComponent>& components) {
  std::vector<std::size_t> indices(components.size());
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  return indices;
}

std::vector<std::size_t> StatisticsProvider::order(const std::vector<ModelComponent>& components) const {
  return forward_order(components);
}

void StatisticsProvider::compressed(const ModelComponent& /*component*/, const CompressedWeight& /*weight*/) {}

}  // namespace lcomp
