#include <fmt/format.h>

#include <memory>
#include <optional>

#include "commands/command_context.h"
#include "lcomp/compression/convert.h"

namespace lcomp {
namespace {

struct ConvertCommand {
  std::string source;
  std::string to = "safetensors";
  std::string out;
  std::string type = "f16";
  bool fold_norms = false;
  std::optional<std::uint64_t> regauge_seed;
  bool replace = false;
};

DenseType dense_type(const std::string& name) {
  if (name == "f32") return DenseType::f32;
  return name == "bf16" ? DenseType::bf16 : DenseType::f16;
}

void run(const ConvertCommand& command, const CommandContext& context) {
  ConvertOptions options;
  options.dtype = dense_type(command.type);
  options.fold_norms = command.fold_norms;
  options.regauge_seed = command.regauge_seed;
  options.replace = command.replace;
  convert_model(command.source, command.out, options, context.progress());
  nlohmann::json json = {
      {"source", command.source}, {"out", command.out}, {"dtype", command.type}, {"fold_norms", command.fold_norms}};
  if (command.regauge_seed) json["regauge_seed"] = *command.regauge_seed;
  context.print(json, fmt::format("{}: written as a Hugging Face folder in {}\n", command.out, command.type));
}

}  // namespace

void add_convert_command(CLI::App& app, CommandContext& context) {
  const auto options = std::make_shared<ConvertCommand>();
  CLI::App* command = add_command(
      app, context, "convert", "Write any readable original as a Hugging Face folder",
      "  lcomp convert model.gguf --to safetensors --out models/model\n"
      "  lcomp convert model.gguf --to safetensors --out models/model --fold-norms --regauge 1 --dtype bf16");
  command->add_option("source", options->source, "model folder or GGUF file")->required();
  command->add_option("--to", options->to, "safetensors, the one target so far")->check(CLI::IsMember({"safetensors"}));
  command->add_option("--out", options->out, "folder to write")->required();
  command->add_option("--dtype", options->type, "type of the weights: f16, bf16, f32 (default: f16)")
      ->check(CLI::IsMember({"f16", "bf16", "f32"}));
  command->add_flag("--fold-norms", options->fold_norms, "multiply the norms' gains into the linears behind them");
  command->add_option(
      "--regauge", options->regauge_seed,
      "seed of a random change of weights that keeps the function: takes a model off the grid it was stored on");
  command->add_flag("--replace", options->replace, "replace --out when it exists");
  command->callback([options, &context] { run(*options, context); });
}

}  // namespace lcomp
