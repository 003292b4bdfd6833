#include "lcomp/compression/compression_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compression/allocation/budgeted_kinds.h"
#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/quantizers/quantizer_table.h"

namespace lcomp {
namespace {

constexpr const char* target_keys[] = {"ratio", "bits_per_weight", "bytes"};  // in the order of CompressionTarget::Kind

CompressionTarget read_target(ConfigReader& reader) {
  CompressionTarget target;
  int found = 0;
  for (const int kind : {0, 1, 2}) {
    if (!reader.has(target_keys[kind])) continue;
    target.kind = static_cast<CompressionTarget::Kind>(kind);
    target.value = reader.real(target_keys[kind], 1.0e-3, 1.0e18);
    ++found;
  }
  reader.finish();
  if (found == 1) return target;
  throw Error({reader.where(), fmt::format("{} of ratio, bits_per_weight, bytes", found), "exactly one", ""});
}

// `over` laid over the default setting, key by key; alone when it names a method itself. Both are objects, unless
// `over` is something that no quantizer can be made from.
nlohmann::json laid_over(const nlohmann::json& base, const nlohmann::json& over) {
  if (!over.is_object() || over.contains("method")) return over;
  nlohmann::json merged = base;
  merged.update(over);
  return merged;
}

// Every error that the setting of a quantizer can have; an open size needs a target, or for bands one given elsewhere.
QuantizerSetting checked_setting(const nlohmann::json& setting, bool has_target, bool bands_are_given,
                                 const std::string& where) {
  QuantizerSetting parsed = parse_quantizer_setting(setting, where);
  const std::optional<OpenSize> open = open_size(parsed);
  if (!open) {
    make_quantizer(parsed);
  } else if (!has_target && !(bands_are_given && open == OpenSize::bands)) {
    throw Error({where, fmt::format("neither {} nor a target size", budgeted_kind(*open).traits().missing_keys),
                 "one of them", "add \"bits\", or a \"target\" to the plan"});
  }
  return parsed;
}

std::size_t literal_characters(const std::string& pattern) {
  return static_cast<std::size_t>(
      std::count_if(pattern.begin(), pattern.end(), [](char c) { return c != '*' && c != '?'; }));
}

// A few names that show what patterns match.
std::string example_names(const std::vector<ModelComponent>& components) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < components.size() && names.size() < 8; ++i) names.push_back(components[i].name);
  if (components.size() > names.size()) names.push_back(components.back().name);
  return fmt::format("{}", fmt::join(names, ", "));
}

void require_every_pattern_matches(const CompressionPlan& plan, const std::vector<ModelComponent>& components) {
  for (const auto& entry : plan.components) {
    const std::string& pattern = entry.first;
    const bool matched = std::any_of(components.begin(), components.end(),
                                     [&](const ModelComponent& c) { return matches_pattern(pattern, c.name); });
    if (matched) continue;
    throw Error({fmt::format("components, \"{}\"", pattern), "no component of the model matches",
                 fmt::format("names such as {}", example_names(components)), ""});
  }
}

// The most specific pattern that matches; null when none does.
const std::string* pattern_of(const CompressionPlan& plan, const std::string& component) {
  const std::string* best = nullptr;
  const std::string* rival = nullptr;
  for (const auto& [pattern, setting] : plan.components) {
    if (!matches_pattern(pattern, component)) continue;
    if (best == nullptr || literal_characters(pattern) > literal_characters(*best)) {
      best = &pattern;
      rival = nullptr;
    } else if (literal_characters(pattern) == literal_characters(*best)) {
      rival = &pattern;
    }
  }
  if (rival == nullptr) return best;
  throw Error({"components",
               fmt::format("\"{}\" and \"{}\" both match {} and are equally specific", *best, *rival, component),
               "patterns of which one has more literal characters", "make one of them more specific"});
}

}  // namespace

std::uint64_t CompressionTarget::budget(std::uint64_t parameters) const {
  const auto count = static_cast<long double>(parameters);
  const auto size = static_cast<long double>(value);
  switch (kind) {
    case Kind::ratio:
      return static_cast<std::uint64_t>(std::floor(std::min(2 * count / size, 1.0e18L)));
    case Kind::bits_per_weight:
      return static_cast<std::uint64_t>(std::floor(std::min(count * size / 8, 1.0e18L)));
    case Kind::bytes:
      return static_cast<std::uint64_t>(std::floor(size));
  }
  return 0;
}

CompressionPlan CompressionPlan::from_json(const nlohmann::json& json, const std::string& where, bool bands_are_given) {
  ConfigReader reader(json, where);
  CompressionPlan plan;
  plan.quantizer = setting_object(reader.any("quantizer"), reader.where("quantizer"));
  if (reader.has("target")) {
    ConfigReader target(reader.object("target"), reader.where("target"));
    plan.target = read_target(target);
  }
  const bool has_target = plan.target.has_value();
  const std::optional<OpenSize> open =
      open_size(checked_setting(plan.quantizer, has_target, bands_are_given, reader.where("quantizer")));
  const AllocationPolicy otherwise = open ? budgeted_kind(*open).traits().default_policy : AllocationPolicy{};
  plan.allocation = allocation_policy(reader.one_of_or("allocator", name(otherwise), allocator_names()));
  if (reader.has("components")) {
    for (const auto& [pattern, over] : reader.object("components").items()) {
      const std::string key = fmt::format("{}.\"{}\"", reader.where("components"), pattern);
      plan.components[pattern] = setting_object(over, key);
      checked_setting(laid_over(plan.quantizer, plan.components[pattern]), has_target, bands_are_given, key);
    }
  }
  if (reader.has("activations")) {
    plan.activations = activation_setting_from_json(reader.object("activations"), reader.where("activations"));
  }
  reader.finish();
  return plan;
}

nlohmann::json to_json(const CompressionPlan& plan) {
  nlohmann::json json = {{"quantizer", plan.quantizer}};
  if (!plan.components.empty()) json["components"] = plan.components;
  if (plan.target) {
    json["target"] = {{target_keys[static_cast<int>(plan.target->kind)], plan.target->value}};
    json["allocator"] = name(plan.allocation);
  }
  if (plan.activations) json["activations"] = to_json(*plan.activations);
  return json;
}

bool uses_statistics(const CompressionPlan& plan) {
  if (plan.activations && plan.activations->is_static()) return true;
  if (plan.target && plan.allocation != AllocationPolicy{}) return true;
  const auto setting_uses_them = [](const nlohmann::json& setting) {
    return uses_statistics(parse_quantizer_setting(setting, "quantizer"));
  };
  if (setting_uses_them(plan.quantizer)) return true;
  return std::any_of(plan.components.begin(), plan.components.end(),
                     [&](const auto& entry) { return setting_uses_them(laid_over(plan.quantizer, entry.second)); });
}

std::vector<ComponentSetting> resolve_plan(const CompressionPlan& plan, const std::vector<ModelComponent>& components) {
  require_every_pattern_matches(plan, components);
  std::vector<ComponentSetting> settings;
  for (const ModelComponent& component : components) {
    const std::string* pattern = pattern_of(plan, component.name);
    ComponentSetting chosen;
    if (pattern != nullptr) {
      chosen.setting = laid_over(plan.quantizer, plan.components.at(*pattern));
    } else if (component.kind != ComponentKind::router) {
      chosen.setting = plan.quantizer;
    }
    if (!chosen.setting.is_null()) {
      chosen.quantizer = parse_quantizer_setting(chosen.setting, component.name);
      chosen.open = open_size(*chosen.quantizer);
    }
    settings.push_back(std::move(chosen));
  }
  return settings;
}

bool matches_pattern(std::string_view pattern, std::string_view text) {
  // Greedy, going back to the last star: what lies before it matched in the shortest way, which leaves most to the
  // rest.
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] == text[t] && pattern[p] != '*'))) {
      ++p;
      ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace lcomp
