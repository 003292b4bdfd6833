#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "compression/input_folding.h"
#include "lcomp/compression/compression_plan.h"
#include "lcomp/models/model_components.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/quantizers/quantizer.h"

namespace lcomp {

// A model and what a plan makes of each of its components, before anything is measured.
struct PlannedModel {
  // Both must outlive the object. Throws Error for a plan that doesn't fit the model.
  PlannedModel(const ModelFolder& model_folder, const CompressionPlan& compression_plan);
  PlannedModel(const PlannedModel&) = delete;
  PlannedModel& operator=(const PlannedModel&) = delete;

  const ModelFolder& model;
  const CompressionPlan& plan;
  std::vector<ModelComponent> components;
  std::vector<ComponentSetting> settings;  // as components, without scales that are folded
  InputFolding folding;
  std::vector<std::shared_ptr<const Quantizer>> quantizers;  // as components; null: kept exactly, or of open size

  // Whether a component's input is rounded, and by a grid that the folder has.
  bool rounds_input(std::size_t component) const;
  bool has_input_grid(std::size_t component) const;

  // Payload bytes of everything but the components of open size; at most that, where folding may widen a tensor. Throws
  // Error for a method whose size isn't known beforehand.
  std::uint64_t decided_bytes() const;

 private:
  std::uint64_t kept_bytes(const std::string& tensor) const;
};

// A weight that is kept exactly, in the smallest type that holds its values.
CompressedWeight keep_exactly(const Matrix& weight, const std::string& name);

}  // namespace lcomp
