#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "commands/option_declaration.h"
#include "commands/option_value.h"

namespace lcomp {

// Where the texts of one option go: all that were given so far.
using OptionSink = std::function<void(const OptionDeclaration&, const std::vector<std::string>& texts)>;

// One declared option; what its members say of it is laid down in its declaration.
class Option {
 public:
  Option(OptionDeclaration declaration, OptionSink sink);

  Option& required();  // and, where it is a text, not empty
  Option& between(double least, double most);
  Option& at_least(double least);
  Option& above(double bound);
  Option& one_of(std::vector<std::string> choices);
  Option& default_is(std::string text);  // what holds where it isn't given, if the member's value doesn't say it
  Option& separated_by(char separator);  // several values may stand in one word
  Option& in_bytes();                    // an integer that is a size: 512MiB
  Option& needs(std::string other);      // given without `other` it is a mistake
  Option& common();                      // one that every command has: shown last

  const OptionDeclaration& declaration() const { return declaration_; }
  // Checks and stores what was given so far. Throws Error that names the option.
  void assign(const std::vector<std::string>& texts) const { sink_(declaration_, texts); }

 private:
  OptionDeclaration declaration_;
  OptionSink sink_;
};

// The type of one value of a member.
template <typename Member>
struct OptionMember {
  using Value = Member;
  static constexpr bool plain = true, several = false;
};
template <typename Element>
struct OptionMember<std::optional<Element>> {
  using Value = Element;
  static constexpr bool plain = false, several = false;
};
template <typename Element>
struct OptionMember<std::vector<Element>> {
  using Value = Element;
  static constexpr bool plain = false, several = true;
};

// A subcommand: its declarations, and what it does. The members that its options are bound to must outlive it; the
// value that a member has when it is declared is the default that help tells.
//   std::string, an integer or floating-point type: one value
//   std::optional of these: one value; empty where it isn't given
//   std::vector of these: several values, the option repeated or values one after the other
class Command {
 public:
  Command(std::string name, std::string description, std::vector<std::string> examples);

  // "--name VALUE_NAME"
  template <typename Member>
  Option& option(const std::string& name_and_value, Member& member, std::string help) {
    return add(name_and_value, option_kind<typename OptionMember<Member>::Value>(), member, std::move(help));
  }

  // Known by its place; required, unless `member` is a std::optional. One of several values comes last.
  template <typename Member>
  Option& argument(const std::string& name, Member& member, std::string help) {
    Option& added = option(name, member, std::move(help));
    return OptionMember<Member>::plain || OptionMember<Member>::several ? added.required() : added;
  }

  // Sets `member`; takes no value, and may be repeated.
  Option& flag(const std::string& name, bool& member, std::string help);

  // A value by its name; the names are the choices.
  template <typename Member, typename Value = typename OptionMember<Member>::Value>
  Option& choice(const std::string& name, Member& member, std::vector<std::pair<std::string, Value>> names,
                 std::string help) {
    OptionDeclaration declaration = declare(name, OptionKind::text, OptionMember<Member>::several, std::move(help));
    for (const auto& [choice_name, value] : names) {
      declaration.choices.push_back(choice_name);
      if constexpr (OptionMember<Member>::plain) {
        if (value == member) declaration.default_text = choice_name;
      }
    }
    return add(std::move(declaration), [&member, names = std::move(names)](const OptionDeclaration& declared,
                                                                           const std::vector<std::string>& texts) {
      store<Value>(member, texts, [&](const std::string& text) {
        text_value(declared, text);
        return std::find_if(names.begin(), names.end(), [&](const auto& known) { return known.first == text; })->second;
      });
    });
  }

  // The options named are declared already. `help` is a noun phrase: what they are options for.
  void at_most_one(std::vector<std::string> names, std::string help);
  void exactly_one(std::vector<std::string> names, std::string help);

  void action(std::function<void()> action) { action_ = std::move(action); }
  void run() const { action_(); }

  const std::string& name() const { return name_; }
  const std::deque<Option>& options() const { return options_; }
  CommandDeclaration declaration() const;

  // What the command line had. Throws Error where that lacks something, with `advice`.
  void set_given(std::vector<std::string> options, const std::string& advice);
  bool given(std::string_view option) const;

 private:
  template <typename Value, typename Member, typename Read>
  static void store(Member& member, const std::vector<std::string>& texts, const Read& read) {
    if constexpr (OptionMember<Member>::several) {
      member.clear();
      for (const std::string& text : texts) member.push_back(read(text));
    } else {
      member = read(texts.back());
    }
  }

  template <typename Member>
  Option& add(const std::string& name_and_value, OptionKind kind, Member& member, std::string help) {
    using Value = typename OptionMember<Member>::Value;
    OptionDeclaration declaration = declare(name_and_value, kind, OptionMember<Member>::several, std::move(help));
    if constexpr (OptionMember<Member>::plain) declaration.default_text = fmt::format("{}", member);
    return add(
        std::move(declaration), [&member](const OptionDeclaration& declared, const std::vector<std::string>& texts) {
          store<Value>(member, texts, [&](const std::string& text) { return option_value<Value>(declared, text); });
        });
  }

  static OptionDeclaration declare(const std::string& name_and_value, OptionKind kind, bool several, std::string help);
  Option& add(OptionDeclaration declaration, OptionSink sink);

  std::string name_, description_;
  std::vector<std::string> examples_;
  std::deque<Option> options_;  // callers hold references
  std::vector<OptionGroup> groups_;
  std::vector<std::string> given_;
  std::function<void()> action_;
};

}  // namespace lcomp
