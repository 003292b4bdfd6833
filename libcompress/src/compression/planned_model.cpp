#include "compression/planned_model.h"

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/quantizer_table.h"

namespace lcomp {

CompressedWeight keep_exactly(const Matrix& weight, const std::string& name) {
  return encode_dense(weight.view(), exact_dense_type(weight.view()), name);
}

PlannedModel::PlannedModel(const ModelFolder& model_folder, const CompressionPlan& compression_plan)
    : model(model_folder),
      plan(compression_plan),
      components(model_components(model)),
      settings(resolve_plan(plan, components)),
      folding(model, components, settings) {
  for (std::size_t i = 0; i < components.size(); ++i) {
    const bool decided = settings[i].quantizer && !settings[i].open;
    quantizers.push_back(decided ? make_quantizer(*settings[i].quantizer) : nullptr);
  }
}

bool PlannedModel::rounds_input(std::size_t component) const {
  if (!plan.activations) return false;
  const ComponentKind kind = components[component].kind;
  const bool is_head = kind == ComponentKind::head || (kind == ComponentKind::embedding && model.config.tied_head);
  return kind == ComponentKind::linear || (plan.activations->head && is_head);
}

bool PlannedModel::has_input_grid(std::size_t component) const {
  return rounds_input(component) && plan.activations->is_static();
}

std::uint64_t PlannedModel::kept_bytes(const std::string& tensor) const {
  const Matrix kept = model.tensors->read(tensor);
  return folding.may_widen(tensor) ? kept.size() * sizeof(float) : payload_bytes(keep_exactly(kept, tensor));
}

std::uint64_t PlannedModel::decided_bytes() const {
  std::uint64_t bytes = 0;
  for (const std::string& tensor : uncompressed_tensors(model)) bytes += kept_bytes(tensor);
  for (std::size_t i = 0; i < components.size(); ++i) {
    const ModelComponent& component = components[i];
    if (has_input_grid(i)) bytes += input_grid_bytes;
    if (settings[i].open) continue;
    if (quantizers[i] == nullptr) {
      bytes += kept_bytes(component.tensor);
      continue;
    }
    const auto predicted = quantizers[i]->predicted_bytes(component.rows, component.cols);
    if (!predicted) {
      throw Error({component.name, fmt::format("{} in a plan with a target", quantizers[i]->name()),
                   "a method whose size is known beforehand, or one that leaves its precision open",
                   "bound it by min_bits and max_bits instead"});
    }
    bytes += *predicted;
  }
  return bytes;
}

}  // namespace lcomp
