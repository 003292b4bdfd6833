#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/io/tensor_source.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Models whose weights are not (yet) in files: what open_model() does once it has a config.json and tensors.

// Names and shapes of the tensors that the decoder of this config.json needs, sorted by name. Throws Error naming
// `where` and the key for what no decoder here computes.
std::vector<TensorInfo> required_tensors(const nlohmann::json& config_json, const std::string& where);

// The names among them of the matrices whose product is added to the residual stream: attention output and MLP down.
std::vector<std::string> residual_projections(const DecoderSlices& slices);

// A model of these tensors, which it keeps. `path` names it in errors. Throws Error as open_model() does.
ModelFolder model_in_memory(const std::filesystem::path& path, nlohmann::json config_json,
                            std::shared_ptr<const TensorSource> tensors);

}  // namespace lcomp
