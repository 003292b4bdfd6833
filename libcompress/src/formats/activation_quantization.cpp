#include "lcomp/formats/activation_quantization.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {

std::string_view name(ActivationGranularity granularity) {
  switch (granularity) {
    case ActivationGranularity::token:
      return "token";
    case ActivationGranularity::tensor:
      return "tensor";
  }
  return "";
}

std::string_view name(ActivationRange range) {
  switch (range) {
    case ActivationRange::dynamic:
      return "dynamic";
    case ActivationRange::minmax:
      return "minmax";
    case ActivationRange::percentile:
      return "percentile";
    case ActivationRange::mse:
      return "mse";
  }
  return "";
}

ActivationSetting activation_setting_from_json(const nlohmann::json& json, const std::string& where) {
  ConfigReader reader(json, where);
  ActivationSetting setting;
  reader.integer("bits", 8, 8);
  if (reader.one_of_or("granularity", "token", {"token", "tensor"}) == "tensor") {
    setting.granularity = ActivationGranularity::tensor;
    setting.range = ActivationRange::minmax;
  }
  setting.symmetric = reader.boolean_or("symmetric", true);
  setting.head = reader.boolean_or("head", false);
  const std::string range =
      reader.one_of_or("range", std::string(name(setting.range)), {"dynamic", "minmax", "percentile", "mse"});
  for (const ActivationRange kind :
       {ActivationRange::dynamic, ActivationRange::minmax, ActivationRange::percentile, ActivationRange::mse}) {
    if (name(kind) == range) setting.range = kind;
  }
  if (setting.is_static() != (setting.granularity == ActivationGranularity::tensor)) {
    throw Error({reader.where("range"), fmt::format("\"{}\" with granularity \"{}\"", range, name(setting.granularity)),
                 "\"dynamic\" for each token; \"minmax\", \"percentile\" or \"mse\" for the tensor", ""});
  }
  if (reader.has("percentile")) {
    if (setting.range != ActivationRange::percentile) {
      throw Error({reader.where("percentile"), fmt::format("a percentile with range \"{}\"", range),
                   "range \"percentile\"", ""});
    }
    setting.percentile = reader.real("percentile", 50, 100);
  }
  reader.finish();
  return setting;
}

nlohmann::json to_json(const ActivationSetting& setting) {
  nlohmann::json json = {{"bits", 8},
                         {"granularity", name(setting.granularity)},
                         {"symmetric", setting.symmetric},
                         {"range", name(setting.range)},
                         {"head", setting.head}};
  if (setting.range == ActivationRange::percentile) json["percentile"] = setting.percentile;
  return json;
}

std::string describe(const ActivationSetting& setting) {
  std::string text = fmt::format("int8 per {}{}", name(setting.granularity), setting.symmetric ? "" : ", asymmetric");
  if (setting.range == ActivationRange::percentile) {
    text += fmt::format(", {}th percentile", setting.percentile);
  } else if (setting.is_static()) {
    text += fmt::format(", {}", name(setting.range));
  }
  if (setting.head) text += ", head too";
  return text;
}

InputGrid input_grid(float low, float high, bool symmetric) {
  assert(low <= high);
  low = std::min(low, 0.0f);
  high = std::max(high, 0.0f);
  InputGrid grid;
  // Halves, so that the width of the range can't overflow.
  grid.scale = symmetric ? std::max(-low, high) / 127.0f : (0.5f * high - 0.5f * low) / 127.5f;
  if (!(grid.scale > 0)) return {1, static_cast<std::uint8_t>(symmetric ? 128 : 0)};
  if (!symmetric) {
    grid.zero_point = static_cast<std::uint8_t>(std::clamp(std::nearbyint(-low / grid.scale), 0.0f, 255.0f));
  }
  return grid;
}

void check_input_grid(const InputGrid& grid, bool symmetric, const std::string& where) {
  if (!(grid.scale > 0) || !std::isfinite(grid.scale)) {
    throw Error({where + ".input_scale", fmt::format("{}", grid.scale), "a positive, finite number", ""});
  }
  if (symmetric && grid.zero_point != 128) {
    throw Error({where + ".input_zero", fmt::format("{}", grid.zero_point), "128, for symmetric activations", ""});
  }
}

}  // namespace lcomp
