#include "commands/command.h"

#include <fmt/ranges.h>

#include "lcomp/core/error.h"

namespace lcomp {

Option::Option(OptionDeclaration declaration, OptionSink sink)
    : declaration_(std::move(declaration)), sink_(std::move(sink)) {}

Option& Option::required() {
  declaration_.required = true;
  return *this;
}

Option& Option::between(double least, double most) {
  declaration_.range = {least, most, false};
  return *this;
}

Option& Option::at_least(double least) {
  declaration_.range.least = least;
  return *this;
}

Option& Option::above(double bound) {
  declaration_.range.least = bound;
  declaration_.range.above_least = true;
  return *this;
}

Option& Option::one_of(std::vector<std::string> choices) {
  declaration_.choices = std::move(choices);
  return *this;
}

Option& Option::default_is(std::string text) {
  declaration_.default_text = std::move(text);
  return *this;
}

Option& Option::separated_by(char separator) {
  declaration_.separator = separator;
  return *this;
}

Option& Option::in_bytes() {
  declaration_.kind = OptionKind::size;
  return *this;
}

Option& Option::needs(std::string other) {
  declaration_.needs = std::move(other);
  return *this;
}

Option& Option::common() {
  declaration_.common = true;
  return *this;
}

Command::Command(std::string name, std::string description, std::vector<std::string> examples)
    : name_(std::move(name)), description_(std::move(description)), examples_(std::move(examples)) {
  add(declare("--help", OptionKind::flag, false, "show this; also -h"), [](const auto&, const auto&) {}).common();
}

OptionDeclaration Command::declare(const std::string& name_and_value, OptionKind kind, bool several, std::string help) {
  OptionDeclaration declaration;
  const std::size_t space = name_and_value.find(' ');
  declaration.name = name_and_value.substr(0, space);
  if (space != std::string::npos) declaration.value_name = name_and_value.substr(space + 1);
  declaration.kind = kind;
  declaration.several = several;
  declaration.help = std::move(help);
  return declaration;
}

Option& Command::add(OptionDeclaration declaration, OptionSink sink) {
  return options_.emplace_back(std::move(declaration), std::move(sink));
}

Option& Command::flag(const std::string& name, bool& member, std::string help) {
  return add(declare(name, OptionKind::flag, false, std::move(help)),
             [&member](const OptionDeclaration&, const std::vector<std::string>&) { member = true; });
}

void Command::at_most_one(std::vector<std::string> names, std::string help) {
  groups_.push_back({std::move(help), std::move(names), false});
}

void Command::exactly_one(std::vector<std::string> names, std::string help) {
  groups_.push_back({std::move(help), std::move(names), true});
}

CommandDeclaration Command::declaration() const {
  CommandDeclaration declaration = {name_, description_, examples_, {}, groups_};
  for (const Option& option : options_) declaration.options.push_back(option.declaration());
  return declaration;
}

bool Command::given(std::string_view option) const {
  return std::find(given_.begin(), given_.end(), option) != given_.end();
}

void Command::set_given(std::vector<std::string> options, const std::string& advice) {
  given_ = std::move(options);
  for (const Option& option : options_) {
    const OptionDeclaration& declaration = option.declaration();
    if (declaration.required && !given(declaration.name)) {
      throw Error({declaration.name, "missing", declaration.expected_value(), advice});
    }
  }
  for (const OptionGroup& group : groups_) {
    std::vector<std::string> found;
    for (const std::string& name : group.names) {
      if (given(name)) found.push_back(name);
    }
    if (found.size() == 1 || (found.empty() && !group.required)) continue;
    const std::string all = fmt::format("{}", fmt::join(group.names, ", "));
    throw Error({found.empty() ? all : fmt::format("{}", fmt::join(found, ", ")),
                 found.empty() ? "none of them" : "more than one",
                 (group.required ? "exactly one of " : "at most one of ") + all, advice});
  }
  for (const Option& option : options_) {
    const OptionDeclaration& declaration = option.declaration();
    if (declaration.needs.empty() || !given(declaration.name) || given(declaration.needs)) continue;
    throw Error({declaration.name, "given without " + declaration.needs, "both", advice});
  }
}

}  // namespace lcomp
