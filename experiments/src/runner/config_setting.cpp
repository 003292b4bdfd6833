#include "runner/config_setting.h"

#include <fmt/format.h>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

// "tasks[0].sequences" as the JSON pointer /tasks/0/sequences.
nlohmann::json::json_pointer pointer_of(const std::string& path, const std::string& setting) {
  std::string pointer = "/";
  for (const char c : path) {
    if (c == '.' || c == '[') {
      pointer += '/';
    } else if (c != ']') {
      pointer += c;
    }
  }
  try {
    return nlohmann::json::json_pointer(pointer);
  } catch (const nlohmann::json::exception&) {
    throw Error(
        {"--set " + setting, "a key that can't be read", "KEY=VALUE with a key such as tasks[0].sequences", ""});
  }
}

}  // namespace

void apply_setting(nlohmann::json& config, const std::string& setting) {
  const auto equals = setting.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error({"--set " + setting, "no KEY=VALUE", "for example tasks[0].sequences=4", ""});
  }
  const auto pointer = pointer_of(setting.substr(0, equals), setting);
  const std::string text = setting.substr(equals + 1);
  nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (value.is_discarded()) value = text;
  try {
    // Containers are never made on the way: a misspelt path is an error, here or by the strict reader.
    if (!config.contains(pointer.parent_pointer())) {
      throw Error({"--set " + setting, "no such place in the configuration", "", ""});
    }
    nlohmann::json& parent = config.at(pointer.parent_pointer());
    if (parent.is_array() && !config.contains(pointer)) {
      throw Error({"--set " + setting, fmt::format("an array of {} entries", parent.size()), "an index inside it", ""});
    }
    config[pointer] = std::move(value);
  } catch (const nlohmann::json::exception&) {
    throw Error({"--set " + setting, "no such place in the configuration", "", ""});
  }
}

}  // namespace lcomp
