#include "input_groups.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "lcomp/models/model_components.h"

namespace lcomp {
namespace {

void add_group(std::vector<InputGroup>& groups, std::size_t stage, std::initializer_list<const LinearSlices*> linears) {
  InputGroup group;
  group.stage = stage;
  for (const LinearSlices* linear : linears) {
    if (linear->weight.tensor.empty()) continue;
    group.in_features = linear->weight.cols;
    std::string name = component_name(linear->weight.tensor);
    if (std::ranges::find(group.components, name) == group.components.end())
      group.components.push_back(std::move(name));
  }
  if (!group.components.empty()) groups.push_back(std::move(group));
}

}  // namespace

std::vector<InputGroup> input_groups(const BlockSlices& block) {
  std::vector<InputGroup> groups;
  add_group(groups, 0, {&block.query, &block.key, &block.value});
  add_group(groups, 1, {&block.output});
  add_group(groups, 2, {&block.router});
  add_group(groups, 2, {&block.mlp.gate, &block.mlp.up});
  for (const MlpSlices& expert : block.experts) add_group(groups, 2, {&expert.gate, &expert.up});
  add_group(groups, 3, {&block.mlp.down});
  for (const MlpSlices& expert : block.experts) add_group(groups, 3, {&expert.down});
  return groups;
}

InputGroup head_group(const ModelFolder& model) {
  const TensorSlice& slice = model.config.tied_head ? model.slices.embedding : model.slices.head.weight;
  return {{component_name(slice.tensor)}, model.config.hidden_size, 0};
}

}  // namespace lcomp
