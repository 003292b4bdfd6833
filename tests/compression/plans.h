#pragma once

#include <nlohmann/json.hpp>

#include "lcomp/compression/compression_plan.h"

namespace lcomp::testing {

inline CompressionPlan plan_of(const nlohmann::json& json) { return CompressionPlan::from_json(json, "plan"); }

}  // namespace lcomp::testing
