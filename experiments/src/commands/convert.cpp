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

void add_convert_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<ConvertCommand>();
  Command& command = add_command(
      line, context, "convert", "Write any readable original as a Hugging Face folder",
      {"lcomp convert model.gguf --to safetensors --out models/model",
       "lcomp convert model.gguf --to safetensors --out models/model --fold-norms --regauge 1 --dtype bf16"});
  command.argument("SOURCE", options->source, "model folder or GGUF file");
  command.option("--to", options->to, "the one target so far").one_of({"safetensors"});
  command.option("--out FOLDER", options->out, "folder to write").required();
  command.option("--dtype", options->type, "type of the weights").one_of({"f16", "bf16", "f32"});
  command.flag("--fold-norms", options->fold_norms, "multiply the norms' gains into the linears behind them");
  command.option("--regauge SEED", options->regauge_seed,
                 "seed of a random change of weights that keeps the function: takes a model off the grid it was "
                 "stored on");
  command.flag("--replace", options->replace, "replace --out when it exists");
  command.action([options, &context] { run(*options, context); });
}

}  // namespace lcomp
