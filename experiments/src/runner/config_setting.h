#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace lcomp {

// Changes an entry of a configuration as --set KEY=VALUE says: KEY such as tasks[0].sequences, VALUE as JSON, else as
// text. Throws Error for a place that the configuration doesn't have.
void apply_setting(nlohmann::json& config, const std::string& setting);

}  // namespace lcomp
