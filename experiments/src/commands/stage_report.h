#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace lcomp {

// Adds "stage_seconds" and "stage_cpu_seconds" of the process so far (lcomp/core/stage_times.h) to a command's result.
// Returns them as a line of text; empty, and nothing added, where no stage was timed.
std::string add_stage_times(nlohmann::json& report);

}  // namespace lcomp
