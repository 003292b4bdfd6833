#include "interchange/gguf_number.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

namespace lcomp {

double shortest_decimal(double value) {
  const auto single = static_cast<float>(value);
  if (!std::isfinite(value) || static_cast<double>(single) != value) return value;
  return std::strtod(fmt::format("{}", single).c_str(), nullptr);
}

double shortest_decimal(double value, int digits) {
  return std::strtod(fmt::format("{:.{}g}", value, digits).c_str(), nullptr);
}

}  // namespace lcomp
