#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "commands/command_line.h"
#include "lcomp/core/progress.h"

namespace lcomp {

// What every command shares: the options understood everywhere, and how results and progress reach the user.
struct CommandContext {
  bool json = false;   // one JSON object on stdout instead of text
  bool quiet = false;  // no progress
  int threads = 0;     // 0: all cores
  std::string data;    // data folder; empty: LCOMP_DATA

  // Draws a bar on a terminal, writes a line now and then otherwise, nothing with --quiet. Throws Interrupted after
  // Ctrl-C.
  ProgressCallback progress() const;

  // Prints `object` with --json, else `text`.
  void print(const nlohmann::json& object, const std::string& text) const;
};

// Makes a subcommand with the options of every command: --json, --quiet, --threads.
Command& add_command(CommandLine& line, CommandContext& context, std::string name, std::string description,
                     std::vector<std::string> examples);

// Each registers one command and what it does when it was chosen.
void add_convert_command(CommandLine& line, CommandContext& context);
void add_calibrate_command(CommandLine& line, CommandContext& context);
void add_compare_command(CommandLine& line, CommandContext& context);
void add_compress_command(CommandLine& line, CommandContext& context);
void add_eval_command(CommandLine& line, CommandContext& context);
void add_plot_command(CommandLine& line, CommandContext& context);
void add_report_command(CommandLine& line, CommandContext& context);
void add_run_command(CommandLine& line, CommandContext& context);
void add_quantize_command(CommandLine& line, CommandContext& context);
void add_inspect_command(CommandLine& line, CommandContext& context);
void add_generate_command(CommandLine& line, CommandContext& context);
void add_logits_command(CommandLine& line, CommandContext& context);
void add_tokenize_command(CommandLine& line, CommandContext& context);
void add_train_command(CommandLine& line, CommandContext& context);
void add_world_command(CommandLine& line, CommandContext& context);

}  // namespace lcomp
