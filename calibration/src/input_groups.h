#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lcomp/models/model_folder.h"
#include "lcomp/models/shared_inputs.h"

namespace lcomp {

// Linear layers that are given the same input (models/shared_inputs.h) and share its statistics, by name.
struct InputGroup {
  std::vector<std::string> components;  // each once; fused slices of one tensor are one
  std::size_t in_features = 0;
  std::size_t stage = 0;
};

// Those of a block, as shared_inputs() orders them.
std::vector<InputGroup> input_groups(const ModelFolder& model, std::size_t layer);

// The output head, or the embedding where they are tied.
InputGroup head_group(const ModelFolder& model);

}  // namespace lcomp
