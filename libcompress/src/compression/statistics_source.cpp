#include "lcomp/compression/statistics_source.h"

#include <numeric>
#include <utility>

namespace lcomp {
namespace {

class OriginalInOrder : public SequentialStatistics {
 public:
  explicit OriginalInOrder(std::shared_ptr<RandomAccessStatistics> original) : original_(std::move(original)) {}

  std::vector<std::size_t> order(const std::vector<ModelComponent>& components) const override {
    return forward_order(components);
  }
  std::shared_ptr<const LayerStats> statistics(const ModelComponent& component) override {
    return original_->statistics(component);
  }
  void compressed(const ModelComponent& /*component*/, const CompressedWeight& /*weight*/) override {}
  nlohmann::json description() const override { return original_->description(); }

 private:
  std::shared_ptr<RandomAccessStatistics> original_;
};

}  // namespace

bool has_statistics(const StatisticsSource& source) { return !std::holds_alternative<std::monostate>(source); }

std::shared_ptr<SequentialStatistics> in_order(const StatisticsSource& source) {
  if (const auto* original = std::get_if<std::shared_ptr<RandomAccessStatistics>>(&source)) {
    return std::make_shared<OriginalInOrder>(*original);
  }
  const auto* sequential = std::get_if<std::shared_ptr<SequentialStatistics>>(&source);
  return sequential != nullptr ? *sequential : nullptr;
}

RandomAccessStatistics& original_statistics(const StatisticsSource& source, ErrorParts without, ErrorParts sequential) {
  if (!has_statistics(source)) throw Error(std::move(without));
  const auto* original = std::get_if<std::shared_ptr<RandomAccessStatistics>>(&source);
  if (original == nullptr) throw Error(std::move(sequential));
  return **original;
}

std::vector<std::size_t> forward_order(const std::vector<ModelComponent>& components) {
  std::vector<std::size_t> indices(components.size());
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  return indices;
}

}  // namespace lcomp
