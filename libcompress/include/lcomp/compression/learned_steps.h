#pragma once

#include <map>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace lcomp {

// What learned allocation finds for one component: options of its quantizer.
struct LearnedSteps {
  double offset = 0;                                    // added to the precision that the budget gives
  std::optional<double> row_exponent, column_exponent;  // of rate-coded components with such steps
};

// As keys of a quantizer's setting: "offset", "row_exponent", "column_exponent".
nlohmann::json to_json(const LearnedSteps& steps);

// By component.
nlohmann::json to_json(const std::map<std::string, LearnedSteps>& steps);
// The inverse. Throws nlohmann::json::exception for anything else.
std::map<std::string, LearnedSteps> steps_from_json(const nlohmann::json& json);

// The mean of both, option by option.
LearnedSteps half_way(const LearnedSteps& a, const LearnedSteps& b);

}  // namespace lcomp
