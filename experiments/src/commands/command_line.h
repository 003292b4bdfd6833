#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "commands/command.h"

namespace lcomp {

// The one seam to the parser of command lines (Boost.Program_options, which command_line.cpp alone includes). A command
// declares each option once, bound to a member of its struct, whose value is the default:
//
//   command.argument("MODEL", options->model, "model folder or GGUF file");
//   command.option("--out FOLDER", options->out, "folder to write").required();
//   command.option("--rounds N", options->rounds, "rounds of learning, at most").at_least(1).default_is("6");
//   command.option("--ratio X", options->ratios, "16-bit size / compressed size").above(0).separated_by(',');
//   command.choice("--compute", options->compute, {{"float32", ComputeType::float32}, ...}, "products");
//   command.flag("--replace", options->replace, "replace --out when it exists");
//   command.at_most_one({"--ratio", "--bytes"}, "a size");
//
// On the command line: `--option value` and `--option=value`, in any order with arguments; no abbreviations; a text
// that is itself an option of the command is a value only behind `=`; a negative number is a value; behind `--`
// everything is an argument. Several values behind an option leave as many words as arguments still lack.

// What is to be done for a command line: a text to print (help, version), or a command to run.
struct CommandLineRequest {
  std::string text;
  const Command* command = nullptr;  // null: print `text`
};

// A program of subcommands.
class CommandLine {
 public:
  CommandLine(std::string program, std::string description, std::string version);

  Command& add_command(std::string name, std::string description, std::vector<std::string> examples);

  // All commands with all their options, in the order of their declaration.
  std::vector<CommandDeclaration> declarations() const;

  // `words`: those behind the program's name. help_width: columns of help texts. Throws Error for a mistake.
  CommandLineRequest parse(const std::vector<std::string>& words, std::size_t help_width);

 private:
  std::string program_, description_, version_;
  std::deque<Command> commands_;
};

}  // namespace lcomp
