#include <fmt/format.h>

#include <memory>

#include "commands/command_context.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/training/train.h"
#include "lcomp/training/training_log.h"
#include "lcomp/version.h"
#include "report/gnuplot_figure.h"
#include "report/training_figure.h"
#include "runner/config_setting.h"

namespace lcomp {
namespace {

struct TrainCommand {
  std::string config;
  std::vector<std::string> settings;
  bool extend = false;
};

void draw(const std::filesystem::path& out) {
  if (!gnuplot_is_installed()) {
    fmt::print(stderr, "lcomp: gnuplot is not installed: log.csv is written, no picture; install gnuplot-nox\n");
    return;
  }
  const Figure figure = training_figure(read_training_log(out / "log.csv"));
  run_gnuplot(gnuplot_script(figure, PictureFormat::svg, (out / (figure.name + ".svg")).string()));
}

void match(const TrainingConfig& config, const TrainingOptions& options, const CommandContext& context) {
  const BlockwiseReport report = match_blocks(config, options);
  nlohmann::json printed = to_json(report);
  printed["out"] = (config.out / "model").string();
  std::string text;
  for (const BlockMatch& block : report.blocks) {
    text += fmt::format("block {}: error of the output {:.3e}, before training {:.3e}\n", block.layer, block.error,
                        block.error_before);
  }
  text += fmt::format("{}: {} bytes, {:.4f} bits per weight\n", (config.out / "model").string(), report.size.bytes,
                      report.size.bits_per_weight());
  context.print(printed, text);
}

void run(const TrainCommand& command, const CommandContext& context) {
  nlohmann::json json = parse_json_file(command.config);
  for (const std::string& setting : command.settings) apply_setting(json, setting);
  const auto config = TrainingConfig::from_json(json, command.config);
  TrainingOptions options;
  options.progress = context.progress();
  options.extend = command.extend;
  options.program_version = version_text();
  if (config.blockwise) return match(config, options, context);
  const TrainingResult result = train(config, options);
  draw(config.out);
  nlohmann::json printed = to_json(result);
  printed["out"] = config.out.string();
  std::string text = fmt::format("{}: {} parameters, {} steps, {} tokens", config.out.string(), result.parameters,
                                 result.steps, result.tokens);
  if (result.first_step == result.steps) {
    text += ", trained before\n";
  } else {
    text += fmt::format(", loss {:.4f}", result.loss);
    if (result.held_out_loss) text += fmt::format(", held out {:.4f}", *result.held_out_loss);
    text += fmt::format(", {}\n", format_duration(result.seconds));
  }
  context.print(printed, text);
}

}  // namespace

void add_train_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<TrainCommand>();
  Command& command =
      add_command(line, context, "train", "Train a model on texts, from the beginning or on from a folder's weights",
                  {"lcomp train train.json", "lcomp train train.json --set steps=20000 --extend"});
  command.argument("CONFIG", options->config, "JSON file (docs/cli.md says what is in it)");
  command.option("--set KEY=VALUE", options->settings, "change an entry of the file");
  command.flag("--extend", options->extend,
               "go on from the last checkpoint with other steps, learning rates, clipping or shares of the data");
  command.action([options, &context] { run(*options, context); });
}

}  // namespace lcomp
