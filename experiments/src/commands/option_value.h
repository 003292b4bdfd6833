#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include "commands/option_declaration.h"

namespace lcomp {

// The text of one value as the type that an option was declared with. All throw Error that names the option, the text
// found and what its declaration expects: a text of another kind, a number out of the declared range or of
// [least, most], none of the choices (with the one that was probably meant).
std::string text_value(const OptionDeclaration& option, const std::string& text);
std::int64_t integer_value(const OptionDeclaration& option, const std::string& text, std::int64_t least,
                           std::int64_t most);
std::uint64_t unsigned_value(const OptionDeclaration& option, const std::string& text, std::uint64_t most);
double number_value(const OptionDeclaration& option, const std::string& text);

template <typename Value>
Value option_value(const OptionDeclaration& option, const std::string& text) {
  using Limits = std::numeric_limits<Value>;
  if constexpr (std::is_same_v<Value, std::string>) {
    return text_value(option, text);
  } else if constexpr (std::is_floating_point_v<Value>) {
    return static_cast<Value>(number_value(option, text));
  } else if constexpr (std::is_unsigned_v<Value>) {
    return static_cast<Value>(unsigned_value(option, text, Limits::max()));
  } else {
    static_assert(std::is_integral_v<Value>);
    return static_cast<Value>(integer_value(option, text, Limits::min(), Limits::max()));
  }
}

template <typename Value>
constexpr OptionKind option_kind() {
  if constexpr (std::is_integral_v<Value>) return OptionKind::integer;
  return std::is_floating_point_v<Value> ? OptionKind::number : OptionKind::text;
}

}  // namespace lcomp
