#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/models/model_components.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/quantizers/quantizer.h"

namespace lcomp {

// Where compress_model() gets what quantizers know of the inputs of a component; calibration implements it.
// 0, 1, ...: components as model_components() orders them.
std::vector<std::size_t> forward_order(const std::vector<ModelComponent>& components);

class StatisticsProvider {
 public:
  virtual ~StatisticsProvider() = default;

  // The order in which components should be compressed: indices into `components`. Calibration on the outputs of what
  // is compressed already needs that of the forward pass, with the head last.
  virtual std::vector<std::size_t> order(const std::vector<ModelComponent>& components) const;

  // Whether statistics() may be called for components in any order, and again: they are those of the original.
  virtual bool in_any_order() const { return false; }

  // Called once for each component, in that order. Null where nothing is known: the embedding, or an expert that no
  // token was routed to. Throws Error for activations that are NaN or infinite, and for damaged or foreign archives.
  virtual std::shared_ptr<const LayerStats> statistics(const ModelComponent& component) = 0;

  // Called after each component with what it became.
  virtual void compressed(const ModelComponent& component, const CompressedWeight& weight);

  // For the record: texts, tokens, order.
  virtual nlohmann::json description() const = 0;
};

}  // namespace lcomp
