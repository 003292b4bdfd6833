#include "input_groups.h"

#include <algorithm>
#include <utility>

#include "lcomp/models/model_components.h"

namespace lcomp {

std::vector<InputGroup> input_groups(const ModelFolder& model, std::size_t layer) {
  std::vector<InputGroup> groups;
  for (const SharedInput& input : shared_inputs(model.config, model.slices.blocks.at(layer))) {
    InputGroup group{{}, input.readers.front()->weight.cols, input.stage};
    for (const LinearSlices* reader : input.readers) {
      std::string name = component_name(reader->weight.tensor);
      if (std::ranges::find(group.components, name) == group.components.end()) {
        group.components.push_back(std::move(name));
      }
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

InputGroup head_group(const ModelFolder& model) {
  const TensorSlice& slice = model.config.tied_head ? model.slices.embedding : model.slices.head.weight;
  return {{component_name(slice.tensor)}, model.config.hidden_size, 0};
}

}  // namespace lcomp
