#include "lcomp/compression/learned_steps.h"

namespace lcomp {

nlohmann::json to_json(const LearnedSteps& steps) {
  nlohmann::json json = {{"offset", steps.offset}};
  if (steps.row_exponent) json["row_exponent"] = *steps.row_exponent;
  if (steps.column_exponent) json["column_exponent"] = *steps.column_exponent;
  return json;
}

nlohmann::json to_json(const std::map<std::string, LearnedSteps>& steps) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [component, of_component] : steps) json[component] = to_json(of_component);
  return json;
}

std::map<std::string, LearnedSteps> steps_from_json(const nlohmann::json& json) {
  std::map<std::string, LearnedSteps> steps;
  for (const auto& [component, entry] : json.items()) {
    LearnedSteps& of_component = steps[component];
    of_component.offset = entry.at("offset").get<double>();
    if (entry.contains("row_exponent")) of_component.row_exponent = entry.at("row_exponent").get<double>();
    if (entry.contains("column_exponent")) of_component.column_exponent = entry.at("column_exponent").get<double>();
  }
  return steps;
}

LearnedSteps half_way(const LearnedSteps& a, const LearnedSteps& b) {
  const auto middle = [](double x, double y) { return 0.5 * (x + y); };
  LearnedSteps steps;
  steps.offset = middle(a.offset, b.offset);
  if (a.row_exponent) steps.row_exponent = middle(*a.row_exponent, *b.row_exponent);
  if (a.column_exponent) steps.column_exponent = middle(*a.column_exponent, *b.column_exponent);
  return steps;
}

}  // namespace lcomp
