#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lcomp/models/model_folder.h"

namespace lcomp {

// Linears of a block that are given the same input, and share its statistics.
struct InputGroup {
  std::vector<std::string> components;  // each once; fused slices of one tensor are one
  std::size_t in_features = 0;
  std::size_t stage = 0;  // see SequentialCalibration: 0 q/k/v, 1 attention output, 2 gate/up and router, 3 down
};
constexpr std::size_t block_stages = 4;
constexpr std::size_t mlp_stage = 2;  // the first of the MLP half

// In the order in which a block needs them, a mixture's experts one after the other within a stage.
std::vector<InputGroup> input_groups(const BlockSlices& block);

// The output head, or the embedding where they are tied.
InputGroup head_group(const ModelFolder& model);

}  // namespace lcomp
