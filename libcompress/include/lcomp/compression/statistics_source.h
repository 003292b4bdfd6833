#pragma once

#include <cstddef>
#include <memory>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/core/error.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/models/model_components.h"
#include "lcomp/quantizers/quantizer.h"

namespace lcomp {

// What quantizers know of the inputs of a model's components comes in one of two ways: all of it before the compression
// (statistics of the original), or component by component while earlier ones are replaced by their compressed versions.
// Calibration implements both. What a component gets is null where nothing is known: the embedding, or an expert that
// no token was routed to. Both throw Error for activations that are NaN or infinite, and for damaged or foreign files.

// Statistics of the original: those of any component, at any time, any number of times.
class RandomAccessStatistics {
 public:
  virtual ~RandomAccessStatistics() = default;

  virtual std::shared_ptr<const LayerStats> statistics(const ModelComponent& component) = 0;

  // For the record: calibration data, tokens, order.
  virtual nlohmann::json description() const = 0;
};

// Statistics in one order, which are asked for as the compression goes on.
class SequentialStatistics {
 public:
  virtual ~SequentialStatistics() = default;

  // The order in which components must be compressed: indices into `components`. That of the forward pass, with the
  // head last, where blocks are calibrated on the outputs of compressed ones.
  virtual std::vector<std::size_t> order(const std::vector<ModelComponent>& components) const = 0;

  // Those of the next component in that order; components may be passed over.
  virtual std::shared_ptr<const LayerStats> statistics(const ModelComponent& component) = 0;

  // Called after each component, in that order, with its compressed version.
  virtual void compressed(const ModelComponent& component, const CompressedWeight& weight) = 0;

  virtual nlohmann::json description() const = 0;
};

// What compress_model() is given; std::monostate: no statistics. Pointers are never null.
using StatisticsSource =
    std::variant<std::monostate, std::shared_ptr<RandomAccessStatistics>, std::shared_ptr<SequentialStatistics>>;

bool has_statistics(const StatisticsSource& source);

// For compression component by component, which needs no more than one order. Statistics of the original come in that
// of the forward pass. Null where there are none.
std::shared_ptr<SequentialStatistics> in_order(const StatisticsSource& source);

// For decisions before the first component is compressed. Throws Error(without) where there are no statistics, and
// Error(sequential) where they come in one order only. `source` must outlive the result.
RandomAccessStatistics& original_statistics(const StatisticsSource& source, ErrorParts without, ErrorParts sequential);

// 0, 1, ...: components as model_components() orders them.
std::vector<std::size_t> forward_order(const std::vector<ModelComponent>& components);

}  // namespace lcomp
