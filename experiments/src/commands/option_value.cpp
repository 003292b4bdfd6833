#include "commands/option_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "lcomp/core/error.h"
#include "lcomp/io/nearest_name.h"

namespace lcomp {
namespace {

[[noreturn]] void refuse_value(const OptionDeclaration& option, const std::string& text,
                               const std::string& advice = "") {
  throw Error({option.name, text.empty() ? "found an empty value" : fmt::format("found \"{}\"", text),
               option.expected_value(), advice});
}

// Out of the range of the member's type, where the declaration has none to tell.
[[noreturn]] void refuse_number(const OptionDeclaration& option, const std::string& text, const std::string& bounds) {
  if (!option.range.text().empty()) refuse_value(option, text);
  throw Error({option.name, fmt::format("found \"{}\"", text), option.expected_value() + ", " + bounds, ""});
}

// The number that the whole of `digits` is; result_out_of_range or invalid_argument otherwise.
template <typename Number>
std::errc read_number(std::string_view digits, Number& value) {
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (failure == std::errc() && end != digits.data() + digits.size()) return std::errc::invalid_argument;
  return failure;
}

bool is_negative_integer(const std::string& text) {
  std::int64_t value = 0;
  return text.starts_with('-') && read_number(text, value) != std::errc::invalid_argument;
}

// 2^10 for "k", "KB", "KiB", "ki", ..., 1 for "" and "B"; 0 for what is no unit.
std::uint64_t unit_bytes(std::string_view unit) {
  std::string letters(unit);
  for (char& c : letters) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (letters.empty() || letters == "b") return 1;
  const std::size_t power = std::string_view("kmgtpe").find(letters[0]);
  const std::string rest = letters.substr(1);
  if (power == std::string_view::npos || !(rest.empty() || rest == "b" || rest == "i" || rest == "ib")) return 0;
  return std::uint64_t{1} << (10 * (power + 1));
}

std::uint64_t size_value(const OptionDeclaration& option, const std::string& text, std::uint64_t most) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::size_t unit = std::min(text.find_first_not_of(' ', digits), text.size());
  const std::uint64_t bytes = unit_bytes(std::string_view(text).substr(unit));
  std::uint64_t count = 0;
  const std::errc failure = read_number(std::string_view(text).substr(0, digits), count);
  if (bytes == 0 || failure == std::errc::invalid_argument) refuse_value(option, text);
  if (failure != std::errc() || count > most / bytes) refuse_number(option, text, fmt::format("at most {}", most));
  if (!option.range.contains(static_cast<double>(count * bytes))) refuse_value(option, text);
  return count * bytes;
}

}  // namespace

std::string text_value(const OptionDeclaration& option, const std::string& text) {
  const std::vector<std::string>& choices = option.choices;
  if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end()) {
    const std::string meant = choices.size() == 1 ? "" : nearest_name(text, choices);
    refuse_value(option, text, meant.empty() ? "" : fmt::format("did you mean {}?", meant));
  }
  if (text.empty() && option.required) refuse_value(option, text);
  return text;
}

std::int64_t integer_value(const OptionDeclaration& option, const std::string& text, std::int64_t least,
                           std::int64_t most) {
  std::int64_t value = 0;
  const std::errc failure = read_number(text, value);
  if (failure == std::errc::invalid_argument) refuse_value(option, text);
  if (failure != std::errc() || value < least || value > most) {
    refuse_number(option, text, fmt::format("{} to {}", least, most));
  }
  if (!option.range.contains(static_cast<double>(value))) refuse_value(option, text);
  return value;
}

std::uint64_t unsigned_value(const OptionDeclaration& option, const std::string& text, std::uint64_t most) {
  if (option.kind == OptionKind::size) return size_value(option, text, most);
  if (is_negative_integer(text)) refuse_number(option, text, "at least 0");
  std::uint64_t value = 0;
  const std::errc failure = read_number(text, value);
  if (failure == std::errc::invalid_argument) refuse_value(option, text);
  if (failure != std::errc() || value > most) refuse_number(option, text, fmt::format("at most {}", most));
  if (!option.range.contains(static_cast<double>(value))) refuse_value(option, text);
  return value;
}

double number_value(const OptionDeclaration& option, const std::string& text) {
  double value = 0;
  if (read_number(text, value) != std::errc() || !std::isfinite(value) || !option.range.contains(value)) {
    refuse_value(option, text);
  }
  return value;
}

}  // namespace lcomp
