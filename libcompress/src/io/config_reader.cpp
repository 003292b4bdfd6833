#include "lcomp/io/config_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/io/nearest_name.h"
#include "lcomp/io/quoted_text.h"

namespace lcomp {
namespace {

using nlohmann::json;

// A value as the file has it; no more than a line of it.
std::string as_written(const json& value) {
  if (value.is_object()) return value.empty() ? "{}" : "an object";
  if (value.is_array() && value.size() > 8) return fmt::format("an array of {} values", value.size());
  return abbreviated(value.dump(-1, ' ', false, json::error_handler_t::replace));
}

[[noreturn]] void fail(const std::string& where, const json& value, const std::string& expected) {
  throw Error({where, "found " + as_written(value), expected, ""});
}

// "an integer in 1 .. 10"; limits that any value of the type meets are left out.
template <typename T>
std::string range_text(const char* kind, T low, T high) {
  constexpr T lowest = std::numeric_limits<T>::lowest();
  constexpr T highest = std::numeric_limits<T>::max();
  if (low <= lowest && high >= highest) return kind;
  if (high >= highest) return fmt::format("{} >= {}", kind, low);
  if (low <= lowest) return fmt::format("{} <= {}", kind, high);
  return fmt::format("{} in {} .. {}", kind, low, high);
}

std::string list_text(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + in_quotes(name);
  return text;
}

std::string choice_text(const std::vector<std::string>& allowed) {
  return (allowed.size() == 1 ? "" : "one of ") + list_text(allowed);
}

std::int64_t integer_value(const json& value, const std::string& where, std::int64_t low, std::int64_t high) {
  const bool fits =
      value.is_number_unsigned() ? std::in_range<std::int64_t>(value.get<std::uint64_t>()) : value.is_number_integer();
  if (!fits || value.get<std::int64_t>() < low || value.get<std::int64_t>() > high) {
    fail(where, value, range_text("an integer", low, high));
  }
  return value.get<std::int64_t>();
}

double real_value(const json& value, const std::string& where, double low, double high) {
  if (!value.is_number()) fail(where, value, range_text("a number", low, high));
  const double real = value.get<double>();
  if (!(real >= low && real <= high)) fail(where, value, range_text("a number", low, high));
  return real;
}

const std::string& string_value(const json& value, const std::string& where) {
  if (!value.is_string()) fail(where, value, "a string");
  return value.get_ref<const std::string&>();
}

std::string choice_value(const json& value, const std::string& where, const std::vector<std::string>& allowed) {
  const std::string* text = value.get_ptr<const std::string*>();
  if (text != nullptr && std::find(allowed.begin(), allowed.end(), *text) != allowed.end()) return *text;
  const std::string meant = text == nullptr ? "" : nearest_name(*text, allowed);
  throw Error({where, "found " + as_written(value), choice_text(allowed),
               meant.empty() || allowed.size() == 1 ? "" : fmt::format("did you mean \"{}\"?", meant)});
}

bool boolean_value(const json& value, const std::string& where) {
  if (!value.is_boolean()) fail(where, value, "true or false");
  return value.get<bool>();
}

const json& array_value(const json& value, const std::string& where) {
  if (!value.is_array()) fail(where, value, "an array");
  return value;
}

}  // namespace

ConfigReader::ConfigReader(const json& object, std::string where) : object_(&object), where_(std::move(where)) {
  if (!object.is_object()) fail(where_, object, "an object");
}

std::string ConfigReader::where(std::string_view key) const {
  if (where_.empty()) return std::string(key);
  // A file name is followed by ": ", a path within it by ".".
  return fmt::format("{}{}{}", where_, where_.find(": ") == std::string::npos ? ": " : ".", abbreviated(key));
}

bool ConfigReader::has(std::string_view key) const {
  note(key);
  const auto at = object_->find(key);
  return at != object_->end() && !at->is_null();
}

void ConfigReader::note(std::string_view key) const {
  if (std::find(asked_.begin(), asked_.end(), key) == asked_.end()) asked_.emplace_back(key);
}

const json* ConfigReader::find(std::string_view key) {
  note(key);
  const auto at = object_->find(key);
  return at == object_->end() || at->is_null() ? nullptr : &*at;
}

const json& ConfigReader::require(std::string_view key, const std::string& expected) {
  note(key);
  const auto at = object_->find(key);
  if (at != object_->end()) return *at;
  const std::string meant = nearest_name(key, unread_keys());
  throw Error(
      {where(key), "missing", expected, meant.empty() ? "" : fmt::format("was {} meant to be it?", in_quotes(meant))});
}

std::int64_t ConfigReader::integer(std::string_view key, std::int64_t low, std::int64_t high) {
  return integer_value(require(key, range_text("an integer", low, high)), where(key), low, high);
}

double ConfigReader::real(std::string_view key, double low, double high) {
  return real_value(require(key, range_text("a number", low, high)), where(key), low, high);
}

bool ConfigReader::boolean(std::string_view key) { return boolean_value(require(key, "true or false"), where(key)); }

std::string ConfigReader::string(std::string_view key) { return string_value(require(key, "a string"), where(key)); }

std::string ConfigReader::one_of(std::string_view key, const std::vector<std::string>& allowed) {
  return choice_value(require(key, choice_text(allowed)), where(key), allowed);
}

const json& ConfigReader::object(std::string_view key) {
  const json& value = require(key, "an object");
  if (!value.is_object()) fail(where(key), value, "an object");
  return value;
}

const json& ConfigReader::array(std::string_view key) { return array_value(require(key, "an array"), where(key)); }

const json& ConfigReader::any(std::string_view key) { return require(key, "a value"); }

std::int64_t ConfigReader::integer_or(std::string_view key, std::int64_t otherwise, std::int64_t low,
                                      std::int64_t high) {
  const json* value = find(key);
  return value == nullptr ? otherwise : integer_value(*value, where(key), low, high);
}

double ConfigReader::real_or(std::string_view key, double otherwise, double low, double high) {
  const json* value = find(key);
  return value == nullptr ? otherwise : real_value(*value, where(key), low, high);
}

bool ConfigReader::boolean_or(std::string_view key, bool otherwise) {
  const json* value = find(key);
  return value == nullptr ? otherwise : boolean_value(*value, where(key));
}

std::string ConfigReader::string_or(std::string_view key, std::string otherwise) {
  const json* value = find(key);
  if (value == nullptr) return otherwise;
  return string_value(*value, where(key));
}

std::string ConfigReader::one_of_or(std::string_view key, std::string otherwise,
                                    const std::vector<std::string>& allowed) {
  const json* value = find(key);
  if (value == nullptr) return otherwise;
  return choice_value(*value, where(key), allowed);
}

std::vector<std::string> ConfigReader::strings(std::string_view key) {
  std::vector<std::string> values;
  for (const json& item : array_value(require(key, "an array of strings"), where(key))) {
    values.push_back(string_value(item, fmt::format("{}[{}]", where(key), values.size())));
  }
  return values;
}

std::vector<std::int64_t> ConfigReader::integers(std::string_view key, std::int64_t low, std::int64_t high) {
  std::vector<std::int64_t> values;
  for (const json& item : array_value(require(key, "an array of integers"), where(key))) {
    values.push_back(integer_value(item, fmt::format("{}[{}]", where(key), values.size()), low, high));
  }
  return values;
}

std::vector<double> ConfigReader::reals(std::string_view key, double low, double high) {
  std::vector<double> values;
  for (const json& item : array_value(require(key, "an array of numbers"), where(key))) {
    values.push_back(real_value(item, fmt::format("{}[{}]", where(key), values.size()), low, high));
  }
  return values;
}

void ConfigReader::each_object(std::string_view key, const std::function<void(ConfigReader&)>& read) {
  std::size_t index = 0;
  for (const json& item : array_value(require(key, "an array of objects"), where(key))) {
    ConfigReader reader(item, fmt::format("{}[{}]", where(key), index++));
    read(reader);
    reader.finish();
  }
}

void ConfigReader::ignore(std::string_view key) { note(key); }

std::vector<std::string> ConfigReader::unread_keys() const {
  std::vector<std::string> unread;
  for (const auto& item : object_->items()) {
    if (std::find(asked_.begin(), asked_.end(), item.key()) == asked_.end()) unread.push_back(item.key());
  }
  return unread;
}

void ConfigReader::finish() const {
  const std::vector<std::string> unread = unread_keys();
  if (unread.empty()) return;
  std::vector<std::string>
      known;  // the keys that were asked for and are not there: what an unknown one may have been meant to be
  for (const std::string& key : asked_) {
    if (!object_->contains(key)) known.push_back(key);
  }
  std::string advice;
  for (const std::string& key : unread) {
    const std::string meant = nearest_name(key, known);
    if (meant.empty()) continue;
    const std::string instead = unread.size() == 1 ? "" : " by " + in_quotes(key);
    advice += fmt::format("{}did you mean \"{}\"{}?", advice.empty() ? "" : " ", meant, instead);
  }
  std::vector<std::string> all = asked_;
  std::sort(all.begin(), all.end());
  throw Error({where_, fmt::format("unknown {} {}", unread.size() == 1 ? "key" : "keys", list_text(unread)),
               all.empty() ? "no keys" : choice_text(all), advice});
}

}  // namespace lcomp
