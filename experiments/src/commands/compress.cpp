#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "commands/calibration_option.h"
#include "commands/command_context.h"
#include "commands/compute_option.h"
#include "commands/stage_report.h"
#include "lcomp/allocators/allocation_policy.h"
#include "lcomp/calibration/calibration_archive.h"
#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/pipeline/run_job.h"
#include "lcomp/quantizers/quantizer_table.h"

namespace lcomp {
namespace {

struct CompressCommand {
  std::string model;
  std::string out;
  std::string config;
  std::string method;
  std::optional<int> bits;
  std::string group_size;
  bool symmetric = false;
  std::string grid;
  std::string scales;
  std::vector<std::string> components;
  std::string activations;
  std::vector<double> ratios, bits_per_weight;
  std::vector<std::uint64_t> bytes;
  bool replace = false;
  std::string statistics;
  std::string statistics_of;  // the model that they were made on; empty: the one to compress
  std::string allocator;
  std::string cost;  // whose sensitivities; empty: those that are there
  std::optional<std::int64_t> rounds, learning_sequences, held_out, tuning_steps;
  std::optional<std::int64_t> recalibrations;
  bool tune = false;
  CalibrationOption calibration;
  ComputeType compute = ComputeType::float32;
};

// A number where it reads as one, else the text: "64", "channel".
nlohmann::json number_or_text(const std::string& text) {
  nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  return value.is_number_integer() ? value : nlohmann::json(text);
}

// "token", "tensor", or a JSON object.
nlohmann::json activations_of(const std::string& text) {
  if (text == "token" || text == "tensor") return {{"bits", 8}, {"granularity", text}};
  nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (value.is_object()) return value;
  throw Error(
      {"--activations " + text, "no setting", R"(token, tensor, or for example {"bits": 8, "symmetric": false})", ""});
}

// What the command line says as a compression setting: over --config, when there is one.
nlohmann::json setting_of(const CompressCommand& command) {
  nlohmann::json setting = command.config.empty() ? nlohmann::json::object() : parse_json_file(command.config);
  if (!setting.is_object())
    throw Error({command.config, "no JSON object", "a compression setting; see docs/cli.md", ""});
  if (command.method == "learned") {
    setting["quantizer"] = "rate";
    setting["allocator"] = "learned";
  } else if (!command.method.empty() || !setting.contains("quantizer")) {
    setting["quantizer"] = command.method.empty() ? "rtn" : command.method;
  }
  const std::string where = command.method.empty() ? command.config : "--method";
  nlohmann::json quantizer = setting_object(setting["quantizer"], where);
  if (command.bits) quantizer["bits"] = *command.bits;
  if (!command.group_size.empty()) quantizer["group_size"] = number_or_text(command.group_size);
  if (command.symmetric) quantizer["symmetric"] = true;
  if (!command.grid.empty()) quantizer["grid"] = command.grid;
  if (!command.scales.empty()) quantizer["scales"] = command.scales;
  setting["quantizer"] = std::move(quantizer);
  for (const std::string& component : command.components) {
    const auto equals = component.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error({"--component " + component, "no PATTERN=SETTING", R"(for example "*.down_proj"='{"bits": 5}')", ""});
    }
    const std::string text = component.substr(equals + 1);
    nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
    setting["components"][component.substr(0, equals)] = value.is_discarded() ? nlohmann::json(text) : value;
  }
  if (!command.activations.empty()) setting["activations"] = activations_of(command.activations);
  if (!command.allocator.empty()) setting["allocator"] = command.allocator;
  return setting;
}

// One of the sizes asked for, and the folder that the model of that size goes to.
struct Size {
  nlohmann::json target;  // null: that of --config, or none
  std::string out;
};

// With several sizes the models are folders of --out.
std::vector<Size> sizes_of(const CompressCommand& command) {
  std::vector<Size> sizes;
  const auto add = [&](const char* key, const char* text, const auto& values) {
    for (const auto value : values) {
      const std::string folder = (std::filesystem::path(command.out) / fmt::format("{}-{}", text, value)).string();
      sizes.push_back({{{key, value}}, values.size() > 1 ? folder : command.out});
    }
  };
  add("ratio", "ratio", command.ratios);
  add("bits_per_weight", "bits-per-weight", command.bits_per_weight);
  add("bytes", "bytes", command.bytes);
  if (sizes.empty()) sizes.push_back({nullptr, command.out});
  return sizes;
}

// The job's setting: that of the command line over --config, and --statistics with what is to be recalibrated.
nlohmann::json job_setting(const CompressCommand& command) {
  nlohmann::json setting = setting_of(command);
  const auto part = [&](const char* key) -> nlohmann::json& {
    if (!setting.contains(key)) setting[key] = nlohmann::json::object();
    return setting[key];
  };
  setting["calibration"] = command.calibration.json(part("calibration"));
  const auto set = [](nlohmann::json& in, const char* key, const std::optional<std::int64_t>& value) {
    if (value) in[key] = *value;
  };
  nlohmann::json& learning = part("learning");
  set(learning, "rounds", command.rounds);
  set(learning, "sequences", command.learning_sequences);
  set(learning, "held_out", command.held_out);
  if (setting.contains("repair") || setting.contains("tune") || command.tune || command.tuning_steps) {
    nlohmann::json& tuning = part(setting.contains("repair") ? "repair" : "tune");
    set(tuning, "steps", command.tuning_steps);
    set(tuning, "sequences", command.learning_sequences);
    set(tuning, "held_out", command.held_out);
  }
  set(setting, "recalibrations", command.recalibrations);
  return setting;
}

std::optional<StatisticsArchive> statistics_archive(const CompressCommand& command) {
  if (command.statistics.empty()) return std::nullopt;
  StatisticsArchive archive;
  archive.folder = command.statistics;
  archive.measured = command.statistics_of;
  if (!command.cost.empty()) {
    archive.cost = command.cost == "divergence" ? SensitivityCost::divergence : SensitivityCost::cross_entropy;
  }
  return archive;
}

// Statistics of later passes are to be of the kind of the first one's.
void recalibrate_like(const StatisticsArchive& statistics, nlohmann::json& calibration) {
  calibration["order"] = "original";
  const CalibrationArchive archive = CalibrationArchive::open(statistics.folder);
  const std::optional<SensitivityCost> cost = cost_of(statistics, archive);
  if (!cost) return;
  calibration["sensitivity"] = name(*cost);
  if (calibration.contains("row_groups")) return;
  std::size_t groups = 1;
  for (const std::string& component : archive.sensitive_components(*cost)) {
    groups = std::max(groups, archive.guided_groups(*cost, component));
  }
  calibration["row_groups"] = groups;
}

// A job for each size, all checked before the first begins.
std::vector<CompressionJob> jobs_of(const CompressCommand& command, const std::vector<Size>& sizes,
                                    const CommandContext& context) {
  const std::string where = command.config.empty() ? "command line" : command.config;
  nlohmann::json setting = job_setting(command);
  const std::optional<StatisticsArchive> statistics = statistics_archive(command);
  if (statistics && setting.value("recalibrations", nlohmann::json(0)) != 0) {
    recalibrate_like(*statistics, setting["calibration"]);
  }
  std::vector<CompressionJob> jobs;
  for (const Size& size : sizes) {
    if (!size.target.is_null()) setting["target"] = size.target;
    jobs.push_back(CompressionJob::from_json(setting, where, context.data, command.compute, statistics));
    const CompressionJob& job = jobs.back();
    if (!job.statistics && job.calibration && job.calibration->order == CalibrationSetting::Order::original) {
      throw Error({where + ": calibration", "order original", "block or stage",
                   "for the original's statistics use lcomp calibrate, then --statistics"});
    }
  }
  return jobs;
}

void run(const CompressCommand& command, const CommandContext& context) {
  const std::vector<Size> sizes = sizes_of(command);
  const std::vector<CompressionJob> jobs = jobs_of(command, sizes, context);
  const ModelFolder model = open_model(command.model);
  if (sizes.size() > 1) std::filesystem::create_directories(command.out);
  nlohmann::json results = nlohmann::json::array();
  std::string text;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    JobPlaces places;
    places.out = sizes[i].out;
    places.replace = command.replace;
    places.costs = unfinished_folder(command.out) / "costs";  // of all sizes
    const JobOutcome outcome = run_job(jobs[i], model, places, context.progress());
    outcome.unfinished.clear();
    for (const ComponentReport& line : outcome.report.components) {
      for (const std::string& warning : line.warnings) text += fmt::format("warning: {}: {}\n", line.name, warning);
    }
    text += fmt::format("{}: {} bytes, {:.4f} bits per weight, ratio {:.3f}\n", sizes[i].out, outcome.report.bytes,
                        outcome.report.bits_per_weight, outcome.report.ratio);
    nlohmann::json report = to_json(outcome);
    report["out"] = sizes[i].out;
    text += add_stage_times(report);  // of this and the sizes before
    results.push_back(std::move(report));
  }
  if (sizes.size() > 1) std::filesystem::remove_all(unfinished_folder(command.out));
  context.print(results.size() == 1 ? results.front() : results, text);
}

}  // namespace

void add_compress_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<CompressCommand>();
  Command& command = add_command(
      line, context, "compress", "Compress a model by one method",
      {"lcomp compress models/smollm2 --method rtn --bits 4 --group-size 64 --out out/smollm2-4bit",
       "lcomp compress models/smollm2 --method rtn --ratio 5 --out out/smollm2-ratio5",
       "lcomp compress models/smollm2 --bits 3 --group-size 32 --grid mse --component \"*.down_proj\"='{\"bits\": 5}' "
       "--out out/mixed",
       "lcomp compress models/smollm2 --method gptq:bits=4,group=128,act_order --texts c4 --sequences 64 --tokens 512 "
       "--out out/gptq4",
       "lcomp compress models/smollm2 --config setting.json --bits-per-weight 3.2 --out out/smollm2-3.2"});
  command.argument("MODEL", options->model, "the original: model folder or GGUF file");
  command.option("--out FOLDER", options->out, "folder to write").required();
  command.option("--config FILE", options->config, "JSON file with a compression setting (docs/cli.md)");
  command
      .option("--method METHOD", options->method,
              "a method string such as rtn, rtn:bits=4,group=64 or f16; the options below are laid over it; learned: "
              "rate with allocator learned")
      .default_is("rtn");
  command.option("--bits N", options->bits, "bits of a code, 1 to 8; 16: plain f16");
  command.option("--group-size N", options->group_size, "columns that share a scale, or channel, or tensor")
      .default_is("64");
  command.flag("--symmetric", options->symmetric, "no zero points");
  command.option("--grid GRID", options->grid, "minmax, or mse: a narrower range that minimises squared error")
      .default_is("minmax");
  command.option("--scales TYPE", options->scales, "f16, u8 (8-bit scales with a 16-bit scale per row), f32")
      .default_is("f16");
  command.option("--activations SETTING", options->activations,
                 "round the inputs of linears to 8-bit integers too: token (a scale for each token), tensor (fixed "
                 "ranges, which need --texts or --statistics), or a JSON object (docs/cli.md)");
  command.option("--statistics FOLDER", options->statistics,
                 "what lcomp calibrate wrote, for methods such as gptq; instead of --texts");
  command
      .option("--statistics-of MODEL", options->statistics_of,
              "the model that --statistics were made on, where it isn't the one to compress: what this was compressed "
              "to before")
      .needs("--statistics");
  command.option("--cost", options->cost, "of the sensitivities in --statistics, for rate-coded and banded models")
      .one_of({"divergence", "cross_entropy"})
      .default_is("divergence where it is there");
  command
      .option("--allocator", options->allocator,
              "how bytes are shared out to meet a size: fixed or across, for rate-coded and banded models also "
              "within, second_order or learned")
      .one_of(allocator_names())
      .default_is("fixed, for rate-coded and banded models second_order");
  command.option("--rounds N", options->rounds, "of allocator learned, at most").at_least(1).default_is("6");
  command
      .option("--learning-sequences N", options->learning_sequences,
              "that allocator learned and tuning learn from: further ones of --texts")
      .at_least(1)
      .default_is("24, and 48");
  command.option("--held-out N", options->held_out, "further ones, which tell when it stops")
      .at_least(1)
      .default_is("16");
  command
      .option("--recalibrations N", options->recalibrations,
              "compress so many times before, each by statistics of --texts made on what the one before became")
      .between(0, 8)
      .default_is("0");
  command.flag("--tune", options->tune,
               "train norms and a scale for each row for a few steps afterwards, on further texts");
  command.option("--tune-steps N", options->tuning_steps, "how many").at_least(1).default_is("64");
  command.flag("--repair", options->tune, "an older name of --tune");
  command.option("--repair-steps N", options->tuning_steps, "an older name of --tune-steps").at_least(1);
  options->calibration.add_to(command, context, true);
  add_compute_option(command, options->compute);
  command.option("--component PATTERN=SETTING", options->components,
                 "other settings for the components whose name matches");
  command
      .option("--ratio X", options->ratios, "16-bit size / compressed size; several, 3,5,7: a model of each in --out")
      .above(0)
      .separated_by(',');
  command.option("--bits-per-weight X", options->bits_per_weight, "8 x bytes / parameters; one or several")
      .above(0)
      .separated_by(',');
  command.option("--bytes N", options->bytes, "bytes; one or several").in_bytes().at_least(1).separated_by(',');
  command.at_most_one({"--ratio", "--bits-per-weight", "--bytes"},
                      "a size, everything counted; widths are chosen to meet it");
  command.flag("--replace", options->replace, "replace --out when it exists");
  command.action([options, &context] { run(*options, context); });
}

}  // namespace lcomp
