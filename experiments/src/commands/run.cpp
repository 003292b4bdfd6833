#include <fmt/format.h>

#include <memory>

#include "commands/command_context.h"
#include "runner/experiment_run.h"

namespace lcomp {
namespace {

struct RunOptions {
  std::string config;
  std::vector<std::string> settings;
  std::string out;
  std::string cache;
  bool check = false;
};

void run(const RunOptions& options, const CommandContext& context) {
  ExperimentConfig config = read_experiment(options.config, options.settings);
  if (!options.out.empty()) config.output = options.out;
  config.cache = options.cache;
  if (!context.data.empty()) config.data = context.data;
  if (options.check) {
    const std::string text = check_experiment(config);
    context.print({{"name", config.name}, {"check", text}}, text + "\n");
    return;
  }
  const auto announce = [](const std::string& text) { fmt::print(stderr, "{}\n", text); };
  const ExperimentResult result =
      context.quiet ? run_experiment(config, context.progress()) : run_experiment(config, context.progress(), announce);
  nlohmann::json json = result.metrics;
  json["output"] = config.output.string();
  json["computed_cells"] = result.computed_cells;
  json["kept_cells"] = result.kept_cells;
  context.print(json, fmt::format("{}\n{} cells computed, {} kept from before\ntable: {}\n", result.table_markdown,
                                  result.computed_cells, result.kept_cells, (config.output / "table.md").string()));
}

}  // namespace

void add_run_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<RunOptions>();
  Command& command = add_command(
      line, context, "run", "Run an experiment file: compress by each method at each size, score, write tables",
      {"lcomp run experiments/configs/first_table.json --data ../shared/data",
       "lcomp run my_table.json --set tasks[0].sequences=32 --set model=models/other --out runs/other"});
  command.argument("CONFIG", options->config, "experiment file (docs/cli.md says what is in it)");
  command.option("--set KEY=VALUE", options->settings, "change an entry of the experiment file");
  command.option("--out FOLDER", options->out, "folder for the results")
      .default_is("the file's \"output\", or runs/NAME");
  command.flag("--check", options->check, "check files, settings and disk space, estimate the time, and stop");
  command.option("--cache FOLDER", options->cache, "folder for what the original computed, to share between runs")
      .default_is("OUT/reference");
  command.option("--data FOLDER", context.data, "folder with the data sets")
      .default_is("the file's \"data\", or LCOMP_DATA");
  command.action([options, &context] { run(*options, context); });
}

}  // namespace lcomp
