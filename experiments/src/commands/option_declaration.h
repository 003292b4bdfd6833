#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lcomp {

// The declarations of a command line as data: what parses it, the help texts and lists of all options read them.

enum class OptionKind {
  flag,  // no value
  text,
  integer,
  number,  // a real number, finite
  size,    // bytes: an integer, then B, KiB, MiB, ... (powers of 1024) or nothing
};

// What a number may be. An absent bound is that of the member's type.
struct OptionRange {
  std::optional<double> least;
  std::optional<double> most;
  bool above_least = false;  // `least` itself is not allowed

  bool contains(double value) const;
  std::string text() const;  // "1 to 1024", "at least 1", "more than 0"; empty without bounds
};

// An option ("--threads") or, without dashes, an argument known by its place ("MODEL").
struct OptionDeclaration {
  std::string name;
  OptionKind kind = OptionKind::text;
  std::string value_name;  // "FOLDER"; empty for flags, arguments and options with choices
  std::string help;
  std::string default_text;          // what holds where it isn't given; empty: nothing
  std::vector<std::string> choices;  // the values it may have; empty: all of its kind
  OptionRange range;
  bool required = false;
  bool several = false;   // one or more values: the option repeated, or values one after the other
  char separator = '\0';  // that stands between several values in one word; 0: none does
  std::string needs;      // the option without which this one is a mistake
  bool common = false;    // one that every command has

  bool is_argument() const { return !name.starts_with("-"); }
  std::string shown_value() const;     // "FOLDER", "float32|bfloat16", "X,...", "NAME ..."
  std::string expected_value() const;  // for errors: "an integer, 1 to 1024"
};

// Options of which at most one may be given, or exactly one.
struct OptionGroup {
  std::string help;  // a noun phrase: what they are options for
  std::vector<std::string> names;
  bool required = false;
};

struct CommandDeclaration {
  std::string name;
  std::string description;
  std::vector<std::string> examples;       // whole command lines
  std::vector<OptionDeclaration> options;  // in the order of their declaration, arguments among them
  std::vector<OptionGroup> groups;

  const OptionDeclaration* find(std::string_view name) const;  // null: no such option
};

}  // namespace lcomp
