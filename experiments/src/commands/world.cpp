#include <fmt/format.h>

#include <memory>
#include <optional>

#include "commands/command_context.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/world/write_world.h"

namespace lcomp {
namespace {

struct WorldOptions {
  std::string out;
  std::string config;
  std::optional<std::uint64_t> seed;
  std::optional<std::uint64_t> facts;
  bool replace = false;
};

void run(const WorldOptions& options, const CommandContext& context) {
  nlohmann::json json = options.config.empty() ? nlohmann::json::object() : parse_json_file(options.config);
  const std::string where = options.config.empty() ? "command line" : options.config;
  if (json.is_object()) {
    if (options.seed) json["seed"] = *options.seed;
    if (options.facts) json["facts"] = *options.facts;
  }
  const WorldConfig config = WorldConfig::from_json(json, where);
  const WorldSummary summary = write_world(config, options.out, options.replace, context.progress());
  nlohmann::json files = nlohmann::json::array();
  std::uint64_t bytes = 0;
  for (const auto& [name, size] : summary.files) {
    files.push_back({{"file", name}, {"bytes", size}});
    bytes += size;
  }
  context.print({{"out", options.out},
                 {"config", to_json(config)},
                 {"facts", summary.facts},
                 {"held_out_facts", summary.held_out_facts},
                 {"files", files}},
                fmt::format("{}: {} facts, {} of them held out; {} files, {} bytes\n", options.out, summary.facts,
                            summary.held_out_facts, summary.files.size(), bytes));
}

}  // namespace

void add_world_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<WorldOptions>();
  Command& command = add_command(line, context, "world",
                                 "Write a small closed world of facts: texts to train on, questions to evaluate with",
                                 {"lcomp world --out out/world", "lcomp world --out out/world720 --facts 720 --seed 0",
                                  "lcomp world --out out/world --config demo/world.json",
                                  "lcomp eval MODEL --task mmlu --data out/world/eval/held_out"});
  command.option("--out FOLDER", options->out, "folder to write").required();
  command.option("--config FILE", options->config, "JSON file of settings (docs/cli.md); options go before it");
  command.option("--seed N", options->seed, "of the facts and the texts").default_is("0");
  command.option("--facts N", options->facts, "how many; a larger world holds the smaller ones").default_is("240");
  command.flag("--replace", options->replace, "replace --out when it exists");
  command.action([options, &context] { run(*options, context); });
}

}  // namespace lcomp
