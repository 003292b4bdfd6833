#include "lcomp/models/model_components.h"

#include <set>

namespace lcomp {
namespace {

// The weights of a block, each with its kind, in the order of the forward pass.
template <typename Visit>
void for_each_linear(const BlockSlices& block, const Visit& visit) {
  for (const LinearSlices* linear : {&block.query, &block.key, &block.value, &block.output}) {
    visit(*linear, ComponentKind::linear);
  }
  visit(block.router, ComponentKind::router);
  const auto visit_mlp = [&visit](const MlpSlices& mlp) {
    for (const LinearSlices* linear : {&mlp.gate, &mlp.up, &mlp.down}) visit(*linear, ComponentKind::linear);
  };
  visit_mlp(block.mlp);
  for (const MlpSlices& expert : block.experts) visit_mlp(expert);
}

}  // namespace

std::string component_name(const std::string& tensor) {
  constexpr std::string_view suffix = ".weight";
  return tensor.ends_with(suffix) ? tensor.substr(0, tensor.size() - suffix.size()) : tensor;
}

std::string_view name(ComponentKind kind) {
  switch (kind) {
    case ComponentKind::embedding:
      return "embedding";
    case ComponentKind::linear:
      return "linear";
    case ComponentKind::router:
      return "router";
    case ComponentKind::head:
      return "head";
  }
  return "";
}

std::vector<ModelComponent> model_components(const ModelFolder& model) {
  std::vector<ModelComponent> components;
  std::set<std::string> seen;
  const auto add = [&](const TensorSlice& slice, ComponentKind kind) {
    if (slice.tensor.empty() || !seen.insert(slice.tensor).second) return;
    const TensorInfo& info = model.tensors->info(slice.tensor);
    components.push_back({component_name(slice.tensor), slice.tensor, kind, info.rows(), info.cols()});
  };
  add(model.slices.embedding, ComponentKind::embedding);
  for (const BlockSlices& block : model.slices.blocks) {
    for_each_linear(block, [&](const LinearSlices& linear, ComponentKind kind) { add(linear.weight, kind); });
  }
  add(model.slices.head.weight, ComponentKind::head);
  return components;
}

std::vector<std::string> uncompressed_tensors(const ModelFolder& model) {
  std::set<std::string> names;
  const auto add = [&names](const TensorSlice& slice) {
    if (!slice.tensor.empty()) names.insert(slice.tensor);
  };
  const auto add_norm = [&add](const NormSlices& norm) {
    add(norm.gain);
    add(norm.bias);
  };
  for (const BlockSlices& block : model.slices.blocks) {
    for (const NormSlices* norm : {&block.input_norm, &block.post_attention_norm, &block.pre_mlp_norm,
                                   &block.post_mlp_norm, &block.query_norm, &block.key_norm}) {
      add_norm(*norm);
    }
    for_each_linear(block, [&](const LinearSlices& linear, ComponentKind) { add(linear.bias); });
  }
  add_norm(model.slices.final_norm);
  add(model.slices.head.bias);
  return {names.begin(), names.end()};
}

}  // namespace lcomp
