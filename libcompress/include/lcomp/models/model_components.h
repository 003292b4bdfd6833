#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lcomp/models/model_folder.h"

namespace lcomp {

enum class ComponentKind { embedding, linear, router, head };
std::string_view name(ComponentKind kind);

// One weight matrix that is compressed as a whole: a tensor of the checkpoint. Slices of one tensor (Phi-3's fused q, k
// and v) are one component; so is a tied embedding, which is its own head.
struct ModelComponent {
  std::string name;  // the tensor's, without ".weight": "model.layers.0.mlp.down_proj"
  std::string tensor;
  ComponentKind kind = ComponentKind::linear;
  std::size_t rows = 0, cols = 0;

  std::uint64_t parameters() const { return std::uint64_t{rows} * cols; }
};

// A tensor's name without ".weight".
std::string component_name(const std::string& tensor);

// In the order of the forward pass: embedding, the linear layers of each block, head.
std::vector<ModelComponent> model_components(const ModelFolder& model);

// The other tensors that the decoder uses, norms and biases; sorted by name.
std::vector<std::string> uncompressed_tensors(const ModelFolder& model);

}  // namespace lcomp
