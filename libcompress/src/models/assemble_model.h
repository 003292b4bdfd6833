#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "lcomp/models/model_folder.h"

namespace lcomp {

// A model of an opened config.json and tensors, checked against each other. `config_where` names the config in errors.
ModelFolder assemble_model(const std::filesystem::path& path, nlohmann::json config_json,
                           const std::string& config_where, std::shared_ptr<const TensorSource> tensors);

}  // namespace lcomp
