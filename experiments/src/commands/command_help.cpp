#include "commands/command_help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

namespace lcomp {
namespace {

constexpr std::size_t kUsualWidth = 100, kLeastWidth = 50;
constexpr std::size_t kWidestName = 28;  // a wider one has its help on the next line

using HelpRow = std::pair<std::string, std::string>;  // a name, and its help

// The parts of a line of shell that a break may stand between: not within quotes, not between an option and its value.
std::vector<std::string> shell_parts(std::string_view line) {
  std::vector<std::string> parts(1);
  char quote = '\0';
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote == '\0' ? c == '"' || c == '\'' : c == quote) quote = quote == '\0' ? c : '\0';
    const bool before_value =
        parts.back().starts_with("--") && line.substr(i).find(" -") != 0 && parts.back().find(' ') == std::string::npos;
    if (c == ' ' && quote == '\0' && !before_value) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// Lines of at most `width` columns, `first` and `others` before them; `broken` stands at the end of all but the last.
std::string wrapped(const std::vector<std::string>& words, const std::string& first, const std::string& others,
                    std::size_t width, const std::string& broken = "") {
  std::string text;
  std::string line = first;
  bool empty = true;
  for (const std::string& word : words) {
    if (!empty && line.size() + 1 + word.size() + broken.size() > width) {
      text += line + broken + "\n";
      line = others;
      empty = true;
    }
    line += (empty ? "" : " ") + word;
    empty = false;
  }
  return text + line + "\n";
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (c == ' ') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

// The help beside the names, in a column of its own.
std::string rows_text(const std::vector<HelpRow>& rows, std::size_t name_width, std::size_t width) {
  std::string text;
  const std::string margin(name_width + 4, ' ');
  for (const auto& [name, help] : rows) {
    std::string beginning = "  " + name;
    if (beginning.size() + 2 > margin.size()) {
      text += beginning + "\n";
      beginning.clear();
    }
    text += wrapped(words_of(help), fmt::format("{:<{}}", beginning, margin.size()), margin, width);
  }
  return text;
}

std::size_t name_width_of(const std::vector<HelpRow>& rows) {
  std::size_t longest = 0;
  for (const auto& [name, help] : rows) {
    if (name.size() <= kWidestName) longest = std::max(longest, name.size());
  }
  return longest;
}

HelpRow row_of(const OptionDeclaration& option) {
  std::vector<std::string> notes;
  if (option.required && !option.is_argument()) notes.emplace_back("required");
  if (const std::string range = option.range.text(); !range.empty()) notes.push_back(range);
  if (!option.needs.empty()) notes.push_back("needs " + option.needs);
  if (!option.default_text.empty()) notes.push_back("default: " + option.default_text);
  const std::string value = option.shown_value();
  const std::string name = option.name + (option.is_argument() || value.empty() || value.starts_with(' ') ? "" : " ");
  return {name + value, option.help + (notes.empty() ? "" : fmt::format(" ({})", fmt::join(notes, "; ")))};
}

bool is_grouped(const CommandDeclaration& command, const OptionDeclaration& option) {
  return std::any_of(command.groups.begin(), command.groups.end(), [&](const OptionGroup& group) {
    return std::find(group.names.begin(), group.names.end(), option.name) != group.names.end();
  });
}

std::string group_title(const OptionGroup& group) {
  std::string title = fmt::format("{} ({}):", group.help, group.required ? "exactly one" : "at most one");
  if (title[0] >= 'a' && title[0] <= 'z') title[0] = static_cast<char>(title[0] - 'a' + 'A');
  return title;
}

}  // namespace

std::string usage(const std::string& program, const CommandDeclaration& command) {
  std::string text = program + " " + command.name;
  for (const OptionDeclaration& option : command.options) {
    if (option.required) text += " " + row_of(option).first;
  }
  for (const OptionGroup& group : command.groups) {
    if (!group.required) continue;
    std::vector<std::string> choices;
    for (const std::string& name : group.names) choices.push_back(row_of(*command.find(name)).first);
    text += fmt::format(" ({})", fmt::join(choices, " | "));
  }
  return text + " [OPTIONS]";
}

std::string help_text(const std::string& program, const CommandDeclaration& command, std::size_t width) {
  using Sought = std::function<bool(const OptionDeclaration&)>;
  std::vector<HelpRow> all;
  for (const OptionDeclaration& option : command.options) all.push_back(row_of(option));
  const std::size_t name_width = name_width_of(all);
  std::string text = wrapped(words_of(command.description), "", "", width);
  text += wrapped(words_of(usage(program, command)), "Usage: ", "         ", width);
  const auto section = [&](const std::string& title, const Sought& belongs) {
    std::vector<HelpRow> rows;
    for (const OptionDeclaration& option : command.options) {
      if (belongs(option)) rows.push_back(row_of(option));
    }
    if (rows.empty()) return;
    text += "\n" + wrapped(words_of(title), "", "", width) + rows_text(rows, name_width, width);
  };
  section("Arguments:", [](const OptionDeclaration& option) { return option.is_argument(); });
  const auto groups = [&](bool required) {
    for (const OptionGroup& group : command.groups) {
      if (group.required != required) continue;
      section(group_title(group), [&](const OptionDeclaration& option) {
        return std::find(group.names.begin(), group.names.end(), option.name) != group.names.end();
      });
    }
  };
  groups(true);
  section("Options:", [&](const OptionDeclaration& option) {
    return !option.is_argument() && !option.common && !is_grouped(command, option);
  });
  groups(false);
  section("Options of every command:", [](const OptionDeclaration& option) { return option.common; });
  if (command.examples.empty()) return text;
  text += "\nExamples:\n";
  for (const std::string& example : command.examples)
    text += wrapped(shell_parts(example), "  ", "      ", width, " \\");
  return text;
}

std::string help_text(const std::string& program, const std::string& description,
                      const std::vector<CommandDeclaration>& commands, std::size_t width) {
  std::vector<HelpRow> rows;
  for (const CommandDeclaration& command : commands) rows.emplace_back(command.name, command.description);
  const std::vector<HelpRow> options = {{"--help, -h", "show this; behind a command, what the command takes"},
                                        {"--version", "show the version"}};
  const std::size_t name_width = std::max(name_width_of(rows), name_width_of(options));
  return wrapped(words_of(description), "", "", width) +
         fmt::format("Usage: {} COMMAND [OPTIONS]\n\nOptions:\n", program) + rows_text(options, name_width, width) +
         "\nCommands:\n" + rows_text(rows, name_width, width) +
         fmt::format("\n{} COMMAND --help shows a command's options and examples.\n", program);
}

std::size_t help_width() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsualWidth;
  return std::max<std::size_t>(size.ws_col, kLeastWidth);
}

}  // namespace lcomp
