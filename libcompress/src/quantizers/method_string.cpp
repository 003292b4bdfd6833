#include "quantizers/method_string.h"

#include <charconv>
#include <vector>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/formats/grouped_integer.h"

namespace lcomp {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

template <typename Number>
bool reads_as(std::string_view text, Number& value) {
  const char* end = text.data() + text.size();
  const auto [last, failure] = std::from_chars(text.data(), end, value);
  return failure == std::errc() && last == end;
}

nlohmann::json value_of(std::string_view text) {
  std::int64_t integer = 0;
  double real = 0;
  if (reads_as(text, integer)) return integer;
  if (reads_as(text, real)) return real;
  if (text == "true" || text == "false") return text == "true";
  return text;
}

class MethodStringParser {
 public:
  MethodStringParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  nlohmann::json parse() const {
    const std::vector<std::string_view> parts = split(text_, '+');
    nlohmann::json setting = part(parts.back(), "method");
    for (const char* type : {"f16", "bf16", "f32"}) {
      if (setting["method"] != type) continue;
      setting["method"] = "dense";
      setting["type"] = type;
      break;
    }
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) setting["transforms"].push_back(part(parts[i], "transform"));
    return setting;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw Error({where_, fmt::format("\"{}\": {}", text_, why),
                 "a method string such as rtn:bits=4,group=64 or gptq:bits=3,group=128,act_order", ""});
  }

  void set(nlohmann::json& setting, std::string_view key, nlohmann::json value) const {
    if (key == "group") key = "group_size";
    if (key == "sym" || key == "asym") {
      if (!value.is_boolean()) refuse(fmt::format("{} takes no value", key));
      value = (key == "sym") == value.get<bool>();
      key = "symmetric";
    }
    if (setting.contains(key)) refuse(fmt::format("{} twice", key));
    setting[std::string(key)] = std::move(value);
  }

  // "NAME:KEY=VALUE,FLAG" as {kind: NAME, KEY: VALUE, FLAG: true}.
  nlohmann::json part(std::string_view text, const char* kind) const {
    const std::size_t colon = std::min(text.find(':'), text.size());
    if (colon == 0) refuse(fmt::format("an empty {}", kind));
    nlohmann::json setting = {{kind, text.substr(0, colon)}};
    if (colon == text.size()) return setting;
    for (const std::string_view option : split(text.substr(colon + 1), ',')) {
      const std::size_t equals = option.find('=');
      if (option.empty() || equals == 0 || equals + 1 == option.size()) refuse("an empty option");
      const bool flag = equals == std::string_view::npos;
      set(setting, option.substr(0, equals), flag ? nlohmann::json(true) : value_of(option.substr(equals + 1)));
    }
    return setting;
  }

  std::string_view text_;
  const std::string& where_;
};

}  // namespace

nlohmann::json parse_method_string(std::string_view text, const std::string& where) {
  return MethodStringParser(text, where).parse();
}

MethodString& MethodString::append(const std::string& option) {
  text_ += has_options_ ? ',' : ':';
  text_ += option;
  has_options_ = true;
  return *this;
}

MethodString& MethodString::add(std::string_view key, std::string_view value) {
  return append(fmt::format("{}={}", key, value));
}

MethodString& MethodString::add(std::string_view key, double value) { return append(fmt::format("{}={}", key, value)); }

MethodString& MethodString::flag(std::string_view name, bool set) { return set ? append(std::string(name)) : *this; }

MethodString& MethodString::add_bits(std::optional<int> bits) {
  return bits ? add("bits", std::int64_t{*bits}) : *this;
}

MethodString& MethodString::add_uniform(const UniformOptions& options) {
  add_bits(options.bits).add("group", name(options.granularity)).flag(options.symmetric ? "sym" : "asym");
  if (options.grid != GridFit::minmax) add("grid", name(options.grid));
  if (options.scale_storage != ScaleStorage::f16) add("scales", name(options.scale_storage));
  if (options.zero_storage != ZeroStorage::integer) add("zeros", name(options.zero_storage));
  return *this;
}

MethodString& MethodString::add_damping(const Damping& options) {
  return options.damping != Damping{}.damping ? add("damping", options.damping) : *this;
}

MethodString& MethodString::add_compensation(const ErrorCompensation& options) {
  const ErrorCompensation defaults;
  flag("act_order", options.act_order).flag("static_groups", options.static_groups).add_damping(options);
  if (options.block_size == defaults.block_size) return *this;
  return add("block_size", static_cast<std::int64_t>(options.block_size));
}

MethodString& MethodString::add_feedback(const FeedbackSetting& feedback) {
  return flag("feedback", feedback.enabled).add_compensation(feedback);
}

}  // namespace lcomp
