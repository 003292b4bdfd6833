#include "commands/command_line.h"

#include <fmt/ranges.h>

#include <boost/program_options.hpp>

#include "commands/command_help.h"
#include "lcomp/core/error.h"
#include "lcomp/io/nearest_name.h"

namespace lcomp {
namespace {

namespace po = boost::program_options;

using ParsedWords = std::vector<po::option>;  // in the order of the command line; arguments have no key

// Boost's name of an option is the one without dashes.
std::string key_of(const OptionDeclaration& option) {
  return option.is_argument() ? option.name : option.name.substr(option.name.find_first_not_of('-'));
}

// The values in one word: "3,5,7" with a separator.
std::vector<std::string> split_word(const std::string& word, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : word) {
    if (separator != '\0' && c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// Hands the words that Boost found for an option to its declaration.
class DeclaredValue : public po::value_semantic {
 public:
  explicit DeclaredValue(const Option& option) : option_(option) {}

  std::string name() const override { return option_.declaration().value_name; }
  unsigned min_tokens() const override { return option_.declaration().kind == OptionKind::flag ? 0 : 1; }
  unsigned max_tokens() const override { return min_tokens(); }
  bool is_composing() const override { return true; }
  bool is_required() const override { return false; }  // Command::set_given() says it in our words
  bool apply_default(boost::any&) const override { return false; }
  void notify(const boost::any&) const override {}

  void parse(boost::any& stored, const std::vector<std::string>& words, bool) const override {
    const OptionDeclaration& declaration = option_.declaration();
    const auto* before = boost::any_cast<std::vector<std::string>>(&stored);
    std::vector<std::string> texts = before == nullptr ? std::vector<std::string>() : *before;
    if (!declaration.several && !texts.empty()) {
      throw Error({declaration.name, fmt::format("given twice, \"{}\" and \"{}\"", texts.front(), words.front()),
                   "one value", ""});
    }
    for (const std::string& word : words) {
      for (std::string& text : split_word(word, declaration.separator)) texts.push_back(std::move(text));
    }
    option_.assign(texts);
    stored = std::move(texts);
  }

 private:
  const Option& option_;
};

std::string name_in(const std::string& word) { return word.substr(0, word.find('=')); }

// The option that `name` was probably meant to be: the one that it abbreviates, or the nearest.
std::string meant_option(const std::string& name, const CommandDeclaration& command) {
  std::vector<std::string> known;
  std::vector<std::string> longer;
  for (const OptionDeclaration& option : command.options) {
    if (option.is_argument()) continue;
    known.push_back(option.name);
    if (option.name.starts_with(name) && name.size() > 2) longer.push_back(option.name);
  }
  return longer.size() == 1 ? longer.front() : nearest_name(name, known);
}

// Reads what Boost's own styles don't as we want it: "--" (`behind_dashes` then counts the arguments behind it), an
// empty value as in "--text=", and numbers, which are no short options.
ParsedWords special_words(std::vector<std::string>& words, std::size_t& behind_dashes) {
  const std::string word = words.front();
  const auto argument = [](const std::string& text) {
    po::option option;
    option.value = option.original_tokens = {text};
    return option;
  };
  ParsedWords found;
  const std::size_t equals = word.find('=');
  if (word == "--") {
    for (auto text = words.begin() + 1; text != words.end(); ++text) found.push_back(argument(*text));
    behind_dashes += found.size();
    words.clear();
  } else if (word.starts_with("--") && (equals == 2 || equals + 1 == word.size())) {
    found.push_back(argument(word));
    found.back().string_key = word.substr(2, equals - 2);
    found.back().value = {word.substr(equals + 1)};
    found.back().unregistered = equals == 2;
    words.erase(words.begin());
  } else if (word.size() > 1 && word[0] == '-' && (word[1] == '.' || (word[1] >= '0' && word[1] <= '9'))) {
    found.push_back(argument(word));
    words.erase(words.begin());
  }
  return found;
}

[[noreturn]] void refuse_syntax(const po::invalid_command_line_syntax& error, const CommandDeclaration& command,
                                const std::string& advice) {
  const OptionDeclaration* option = command.find(error.get_option_name());
  if (option == nullptr) throw Error({error.get_option_name(), "not understood", "", advice});
  const bool is_flag = option->kind == OptionKind::flag;
  throw Error({option->name, is_flag ? "found a value" : "no value", option->expected_value(), advice});
}

// Throws where a word is no option of the command, or an option stands where a value should.
void check_options(const ParsedWords& parsed, const CommandDeclaration& command, const std::string& program,
                   const std::string& advice) {
  for (const po::option& option : parsed) {
    if (option.string_key.empty() && !option.unregistered) continue;
    const std::string name = name_in(option.original_tokens.front());
    const OptionDeclaration* declared = command.find(name);
    if (declared == nullptr || declared->is_argument()) {
      const std::string meant = meant_option(name, command);
      throw Error({name, fmt::format("no option of {} {}", program, command.name), "",
                   meant.empty() ? advice : fmt::format("did you mean {}? {}", meant, advice)});
    }
    if (option.original_tokens.size() < 2) continue;
    const std::string& value = option.original_tokens[1];
    if (!value.starts_with("-") || command.find(name_in(value)) == nullptr) continue;
    throw Error({name, fmt::format("no value before {}", name_in(value)), declared->expected_value(),
                 fmt::format("if that is the value, write {}={}", name, value)});
  }
}

// Gives words without a key to the option of several values that they follow, or to the arguments by their place.
void place_arguments(ParsedWords& parsed, std::size_t behind_dashes, const CommandDeclaration& command,
                     const std::string& program, const std::string& advice) {
  std::vector<const OptionDeclaration*> places;
  std::size_t lacking = 0;
  for (const OptionDeclaration& option : command.options) {
    if (!option.is_argument()) continue;
    places.push_back(&option);
    lacking += option.required ? 1 : 0;
  }
  // Words that may be further values: those right behind an option of several.
  std::vector<std::size_t> further;
  std::vector<std::string> options(parsed.size());
  std::size_t words_behind = behind_dashes;
  for (std::size_t i = 0; i < parsed.size(); ++i) {
    if (!parsed[i].string_key.empty()) {
      const OptionDeclaration& option = *command.find(name_in(parsed[i].original_tokens.front()));
      options[i] = option.several ? key_of(option) : "";
    } else if (i + words_behind < parsed.size() && i > 0 && !options[i - 1].empty()) {
      options[i] = options[i - 1];
      further.push_back(i);
    } else if (lacking > 0) {
      --lacking;
    }
  }
  further.resize(further.size() - std::min(further.size(), lacking));  // the last ones are the arguments that lack
  for (const std::size_t i : further) parsed[i].string_key = options[i];
  std::size_t place = 0;
  for (po::option& word : parsed) {
    if (!word.string_key.empty()) continue;
    if (place == places.size()) {
      throw Error({word.value.front(), "one argument too many", usage(program, command), advice});
    }
    word.string_key = key_of(*places[place]);
    if (!places[place]->several) ++place;
  }
}

// Stores the values that stand behind the command's name.
void parse_options(const std::string& program, Command& chosen, const std::vector<std::string>& words) {
  const CommandDeclaration command = chosen.declaration();
  const std::string advice = fmt::format("see {} {} --help", program, command.name);
  po::options_description description;
  for (const Option& option : chosen.options()) {
    description.add_options()(key_of(option.declaration()).c_str(), new DeclaredValue(option));  // Boost owns it
  }
  using Style = po::command_line_style::style_t;
  std::size_t behind_dashes = 0;
  po::variables_map values;
  try {
    po::parsed_options parsed =
        po::command_line_parser(words)
            .options(description)
            .style(Style::allow_long | Style::long_allow_adjacent | Style::long_allow_next | Style::allow_short |
                   Style::allow_dash_for_short | Style::short_allow_next)  // and no abbreviations
            .extra_style_parser([&](std::vector<std::string>& rest) { return special_words(rest, behind_dashes); })
            .allow_unregistered()
            .run();
    check_options(parsed.options, command, program, advice);
    place_arguments(parsed.options, behind_dashes, command, program, advice);
    po::store(parsed, values);
  } catch (const po::invalid_command_line_syntax& error) {
    refuse_syntax(error, command, advice);
  } catch (const po::error&) {
    throw Error({fmt::format("{} {}", program, command.name), "a command line that can't be read",
                 usage(program, command), advice});
  }
  std::vector<std::string> given;
  for (const OptionDeclaration& option : command.options) {
    if (values.count(key_of(option)) > 0) given.push_back(option.name);
  }
  chosen.set_given(std::move(given), advice);
}

}  // namespace

CommandLine::CommandLine(std::string program, std::string description, std::string version)
    : program_(std::move(program)), description_(std::move(description)), version_(std::move(version)) {}

Command& CommandLine::add_command(std::string name, std::string description, std::vector<std::string> examples) {
  return commands_.emplace_back(std::move(name), std::move(description), std::move(examples));
}

std::vector<CommandDeclaration> CommandLine::declarations() const {
  std::vector<CommandDeclaration> all;
  for (const Command& command : commands_) all.push_back(command.declaration());
  return all;
}

CommandLineRequest CommandLine::parse(const std::vector<std::string>& words, std::size_t help_width) {
  const auto is_help = [](const std::string& word) { return word == "--help" || word == "-h"; };
  const bool help = std::any_of(words.begin(), std::find(words.begin(), words.end(), "--"), is_help);
  const auto chosen = std::find_if(words.begin(), words.end(), [&](const auto& word) { return !is_help(word); });
  if (chosen == words.end() && help) return {help_text(program_, description_, declarations(), help_width), nullptr};
  std::vector<std::string> names;
  for (const Command& command : commands_) names.push_back(command.name());
  const std::string expected = fmt::format("one of {}", fmt::join(names, ", "));
  const std::string advice = fmt::format("see {} --help", program_);
  if (chosen == words.end()) throw Error({"command line", "no subcommand", expected, advice});
  if (*chosen == "--version") return {version_ + "\n", nullptr};
  if (chosen->starts_with("-")) {
    throw Error({*chosen, "an option before the subcommand", expected + ", and options behind it", advice});
  }
  for (Command& command : commands_) {
    if (command.name() != *chosen) continue;
    if (help) return {help_text(program_, command.declaration(), help_width), nullptr};
    parse_options(program_, command, {chosen + 1, words.end()});
    return {"", &command};
  }
  const std::string meant = nearest_name(*chosen, names);
  throw Error({*chosen, "no command of this name", expected,
               meant.empty() ? advice : fmt::format("did you mean {}? {}", meant, advice)});
}

}  // namespace lcomp
