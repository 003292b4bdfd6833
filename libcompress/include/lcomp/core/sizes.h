#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "lcomp/core/error.h"

namespace lcomp {

// Checked arithmetic for sizes that come from files. The try_ forms return nothing on overflow, for callers with a
// better message.
template <std::unsigned_integral T>
constexpr std::optional<T> try_multiply(T a, T b) {
  if (b != 0 && a > std::numeric_limits<T>::max() / b) return std::nullopt;
  return static_cast<T>(a * b);
}

template <std::unsigned_integral T>
constexpr std::optional<T> try_add(T a, T b) {
  if (a > std::numeric_limits<T>::max() - b) return std::nullopt;
  return static_cast<T>(a + b);
}

// a * b and a + b. Throw Error naming `where` on overflow.
template <std::unsigned_integral T>
T checked_multiply(T a, T b, const std::string& where) {
  if (const auto product = try_multiply(a, b)) return *product;
  throw Error({where, "a size of " + std::to_string(a) + " x " + std::to_string(b) + ", which overflows", "", ""});
}

template <std::unsigned_integral T>
T checked_add(T a, T b, const std::string& where) {
  if (const auto sum = try_add(a, b)) return *sum;
  throw Error({where, "a size of " + std::to_string(a) + " + " + std::to_string(b) + ", which overflows", "", ""});
}

// Converts between integer types; throws Error naming `where` when the value does not fit.
template <std::integral To, std::integral From>
To checked_cast(From value, const std::string& where) {
  if (!std::in_range<To>(value)) {
    throw Error({where, "the value " + std::to_string(value),
                 "a value that fits " + std::to_string(8 * sizeof(To)) + " bits", ""});
  }
  return static_cast<To>(value);
}

// ceil(a / b), b > 0.
template <std::unsigned_integral T>
constexpr T divide_up(T a, T b) {
  return static_cast<T>(a / b + (a % b != 0 ? 1 : 0));
}

}  // namespace lcomp
