#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "lcomp/io/tensor_source.h"

namespace lcomp {

// Gemma 3 with vision (config.json's model_type "gemma3") as the text model in it. The decoder's config is the object
// "text_config", with the defaults of transformers for the sizes that published files leave out; its tensors are
// "language_model.model.*" in published files, "model.language_model.*" as transformers 5 writes them. The vision tower
// and its projector are left out: a model that is made from this one reads text only. Other model types are left
// alone. `where` is config.json's path. Throws Error for a text_config that is no object or of another model type.
void take_text_part(const std::string& where, nlohmann::json& config, std::shared_ptr<const TensorSource>& tensors);

}  // namespace lcomp
