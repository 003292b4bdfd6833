#pragma once

#include <functional>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

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

// Makes a subcommand with the common options (--json, --quiet, --threads) and its examples as footer.
CLI::App* add_command(CLI::App& app, CommandContext& context, const std::string& name, const std::string& description,
                      const std::string& examples);

// Each registers one command and what it does when it was chosen.
void add_convert_command(CLI::App& app, CommandContext& context);
void add_calibrate_command(CLI::App& app, CommandContext& context);
void add_compare_command(CLI::App& app, CommandContext& context);
void add_compress_command(CLI::App& app, CommandContext& context);
void add_eval_command(CLI::App& app, CommandContext& context);
void add_plot_command(CLI::App& app, CommandContext& context);
void add_report_command(CLI::App& app, CommandContext& context);
void add_run_command(CLI::App& app, CommandContext& context);
void add_quantize_command(CLI::App& app, CommandContext& context);
void add_inspect_command(CLI::App& app, CommandContext& context);
void add_generate_command(CLI::App& app, CommandContext& context);
void add_logits_command(CLI::App& app, CommandContext& context);
void add_tokenize_command(CLI::App& app, CommandContext& context);
void add_train_command(CLI::App& app, CommandContext& context);
void add_world_command(CLI::App& app, CommandContext& context);

}  // namespace lcomp
