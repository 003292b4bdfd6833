#include "commands/option_declaration.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace lcomp {

bool OptionRange::contains(double value) const {
  if (least && (above_least ? !(value > *least) : !(value >= *least))) return false;
  return !most || value <= *most;
}

std::string OptionRange::text() const {
  if (least && most && above_least) return fmt::format("more than {}, at most {}", *least, *most);
  if (least && most) return fmt::format("{} to {}", *least, *most);
  if (least) return fmt::format("{} {}", above_least ? "more than" : "at least", *least);
  return most ? fmt::format("at most {}", *most) : "";
}

std::string OptionDeclaration::shown_value() const {
  if (kind == OptionKind::flag) return "";
  const std::string value = choices.empty() ? value_name : fmt::format("{}", fmt::join(choices, "|"));
  if (!several) return value;
  return value + (separator == '\0' ? " ..." : fmt::format("{}...", separator));
}

std::string OptionDeclaration::expected_value() const {
  if (!choices.empty()) return fmt::format("{}{}", choices.size() == 1 ? "" : "one of ", fmt::join(choices, ", "));
  const std::string bounds = range.text();
  const std::string addition = bounds.empty() ? "" : ", " + bounds;
  switch (kind) {
    case OptionKind::flag:
      return "no value";
    case OptionKind::text:
      return value_name.empty() ? help : value_name + ": " + help;
    case OptionKind::integer:
      return "an integer" + addition;
    case OptionKind::number:
      return "a number" + addition;
    case OptionKind::size:
      return "bytes, such as 1000000, 64KiB, 512MiB or 2GiB" + addition;
  }
  return {};
}

const OptionDeclaration* CommandDeclaration::find(std::string_view searched) const {
  const auto at = std::find_if(options.begin(), options.end(),
                               [&](const OptionDeclaration& option) { return option.name == searched; });
  return at == options.end() ? nullptr : &*at;
}

}  // namespace lcomp
