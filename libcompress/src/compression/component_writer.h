#pragma once

#include <cstddef>
#include <filesystem>

#include "compression/component_compression.h"
#include "compression/planned_model.h"
#include "lcomp/compression/compress_model.h"
#include "lcomp/compression/model_writer.h"
#include "lcomp/formats/activation_quantization.h"

namespace lcomp {

// Writes the components of a compressed model as they are finished, then all that is kept, and counts.
class ComponentWriter {
 public:
  // Throws Error for an existing `out` without options.replace. All must outlive the object.
  ComponentWriter(const PlannedModel& planned, const std::filesystem::path& out, const CompressOptions& options);

  // Each once, in any order.
  void add(std::size_t component, const CompressedComponent& compressed);
  // Norms and biases, tokenizer files, config.json. The folder appears under its name.
  CompressionReport finish();

 private:
  const PlannedModel& planned_;
  const CompressOptions& options_;
  ModelWriter writer_;
  ActivationQuantization activations_;
  CompressionReport report_;
};

}  // namespace lcomp
