#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compression/allocation/allocation.h"
#include "compression/planned_model.h"
#include "lcomp/compression/compress_model.h"
#include "lcomp/compression/compression_checkpoint.h"
#include "lcomp/core/progress.h"

namespace lcomp {

// A component's compressed version.
struct CompressedComponent {
  FinishedComponent finished;
  std::string quantizer;  // method string; empty: kept exactly
  double bits_slope = 0;  // ComponentReport's
};

// Compresses the components of a model one by one: statistics, quantizer, the grid of the input. What a killed
// compression has finished is taken from options.work.
class ComponentCompression {
 public:
  // All must outlive the object. Chooses the scales of inputs that are folded, which changes planned.folding. Throws
  // Error where statistics are needed and missing, and for unfinished work of another compression.
  ComponentCompression(PlannedModel& planned, Allocation& allocation, const CompressOptions& options,
                       const ProgressCallback& progress);

  // The order in which compress() is to be called: indices of components.
  std::vector<std::size_t> order() const;
  CompressedComponent compress(std::size_t component);

 private:
  // What a component is to be compressed by, now.
  struct Attempt {
    std::shared_ptr<const Quantizer> quantizer;  // null: kept exactly
    SizeOrder order;                             // where a budget decides the size
  };
  Attempt next_attempt(std::size_t component) const;

  void require_statistics() const;
  void fold_input_scales(const ProgressCallback& progress);
  QuantizedWeight quantize(std::size_t component, const Quantizer* quantizer, const Matrix& weight,
                           const std::shared_ptr<const LayerStats>& known) const;
  QuantizedWeight quantize_to_budget(std::size_t component, Attempt attempt, const Matrix& weight,
                                     const std::shared_ptr<const LayerStats>& known, FinishedComponent& finished);
  FinishedComponent finish(std::size_t component, const Attempt& attempt);
  FinishedComponent finished_before(std::size_t component, SizeOrder order);
  InputGrid input_grid(const ModelComponent& component, const LayerStats* known) const;

  PlannedModel& planned_;
  Allocation& allocation_;
  const CompressOptions& options_;
  std::shared_ptr<SequentialStatistics> statistics_;  // null: there are none
  std::optional<CompressionCheckpoint> checkpoint_;
};

}  // namespace lcomp
