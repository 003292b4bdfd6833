#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "commands/calibration_option.h"
#include "commands/command_context.h"
#include "runner/compression_job.h"
#include "runner/compute_option.h"
#include "runner/content_hash.h"
#include "lcomp/allocators/bit_allocator.h"
#include "lcomp/calibration/calibration_key.h"
#include "lcomp/calibration/compression_statistics.h"
#include "lcomp/compression/compress_model.h"
#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "commands/stage_report.h"
#include "runner/version.h"

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
  std::optional<std::int64_t> rounds, learning_sequences, held_out, repair_steps;
  std::optional<std::int64_t> recalibrations;
  bool repair = false;
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

// A part of a setting that is not the plan's: taken out of it.
nlohmann::json take(nlohmann::json& setting, const char* key) {
  if (!setting.contains(key)) return nlohmann::json::object();
  nlohmann::json part = std::move(setting[key]);
  setting.erase(key);
  return part;
}

// The options of the learned allocation, over what --config says.
nlohmann::json learning_of(const CompressCommand& command, nlohmann::json base) {
  if (command.rounds) base["rounds"] = *command.rounds;
  if (command.learning_sequences) base["sequences"] = *command.learning_sequences;
  if (command.held_out) base["held_out"] = *command.held_out;
  return base;
}

// What an interrupted compression goes on with; deleted when it is done.
std::filesystem::path work_folder(const std::string& folder) {
  std::filesystem::path out = std::filesystem::path(folder).lexically_normal();
  if (!out.has_filename()) out = out.parent_path();
  return out.string() + ".unfinished";
}

// Whose sensitivities in --statistics are used.
std::optional<SensitivityCost> cost_of(const CompressCommand& command, const CalibrationArchive& archive) {
  std::optional<SensitivityCost> cost;
  for (const SensitivityCost known : {SensitivityCost::cross_entropy, SensitivityCost::divergence}) {
    if (archive.has_sensitivities(known) && (command.cost.empty() || command.cost == name(known))) cost = known;
  }
  if (!command.cost.empty() && !cost) {
    throw Error(
        {command.statistics, "no sensitivities of " + command.cost, "those of lcomp calibrate --sensitivity", ""});
  }
  return cost;
}

// Statistics of later passes are to be of the kind of the first one's.
void recalibrate_like(const CompressCommand& command, nlohmann::json& calibration) {
  const CalibrationArchive archive = CalibrationArchive::open(command.statistics);
  calibration["order"] = "original";
  const std::optional<SensitivityCost> cost = cost_of(command, archive);
  if (!cost) return;
  calibration["sensitivity"] = name(*cost);
  if (calibration.contains("row_groups")) return;
  std::size_t groups = 1;
  for (const std::string& component : archive.sensitive_components(*cost)) {
    groups = std::max(groups, archive.guided_groups(*cost, component));
  }
  calibration["row_groups"] = groups;
}

struct Statistics {
  std::unique_ptr<StatisticsProvider> provider;
  std::string key;  // of all that decides them
};

// Statistics for the plan: of --statistics, or of the calibration texts; null where it needs none,
// or can do without and there are no texts.
Statistics statistics_of(const CompressCommand& command, const CompressionPlan& plan, const nlohmann::json& calibration,
                         const std::string& where, const ModelFolder& model, const std::string& out,
                         const CommandContext& context) {
  if (!uses_statistics(plan)) return {};
  if (!command.statistics.empty()) {
    CalibrationArchive archive = CalibrationArchive::open(command.statistics);
    const std::string key = archive.key().text();
    const std::optional<SensitivityCost> cost = cost_of(command, archive);
    std::optional<ModelFolder> measured;
    if (!command.statistics_of.empty()) measured = open_model(command.statistics_of);
    return {archived_statistics(model, std::move(archive), cost, measured ? &*measured : nullptr),
            cost ? fmt::format("{} {}", key, name(*cost)) : key};
  }
  if (calibration.empty()) return {};  // compress_model() says which component lacks them
  const auto setting = CalibrationSetting::from_json(calibration, where, context.data);
  if (setting.order == CalibrationSetting::Order::original) {
    throw Error({where, "order original", "block or stage",
                 "for the original's statistics use lcomp calibrate, then --statistics"});
  }
  const CalibrationTexts texts = calibration_texts(setting, model);
  Hasher hasher;
  hasher.update(hash_tokens(texts.batch));
  hasher.update(calibration.dump());
  hasher.update(name(command.compute));
  Hasher work;
  work.update(to_json(plan).dump());
  const StatisticsPlaces places = {{}, {work_folder(out) / "stream", work.hex()}};
  return {make_statistics(setting, texts, model, command.compute, places, context.progress()), hasher.hex()};
}

nlohmann::json compress(const CompressCommand& command, const ModelFolder& model, const CompressionJob& job,
                        const std::string& out, const CommandContext& context) {
  const Statistics statistics =
      statistics_of(command, job.plan, job.calibration, job.where + ": calibration", model, out, context);
  const bool calibrates_meanwhile =
      statistics.provider != nullptr && command.statistics.empty();  // with its own progress
  CompressOptions options;
  options.replace = command.replace;
  options.statistics = statistics.provider.get();
  if (options.statistics != nullptr || job.learns() || job.repairs()) {
    options.work = work_folder(out);
    options.work_key = fmt::format("{} {} {}", program_version(), hash_model(command.model), statistics.key);
    options.measured = work_folder(command.out) / "costs";  // of all sizes
    options.measured_key = options.work_key;
  }
  nlohmann::json report =
      run_job(job, model, out, options, calibrates_meanwhile ? ProgressCallback() : context.progress());
  if (!options.work.empty()) std::filesystem::remove_all(options.work);
  return report;
}

void run(const CompressCommand& command, const CommandContext& context) {
  CompressionJob job;
  job.where = command.config.empty() ? "command line" : command.config;
  job.data = context.data;
  job.compute = command.compute;
  nlohmann::json setting = setting_of(command);
  job.calibration = command.calibration.json(take(setting, "calibration"));
  job.learning = learning_of(command, take(setting, "learning"));
  const bool repairs = setting.contains("repair") || command.repair || command.repair_steps;
  nlohmann::json repair = take(setting, "repair");
  if (command.repair_steps) repair["steps"] = *command.repair_steps;
  if (command.learning_sequences) repair["sequences"] = *command.learning_sequences;
  if (command.held_out) repair["held_out"] = *command.held_out;
  if (repairs) job.repair = std::move(repair);
  const std::int64_t passes = ConfigReader(setting, job.where).integer_or("recalibrations", 0, 0, 8);
  setting.erase("recalibrations");
  job.recalibrations = static_cast<int>(command.recalibrations.value_or(passes));
  if (job.recalibrations > 0 && !command.statistics.empty()) recalibrate_like(command, job.calibration);
  const std::vector<Size> sizes = sizes_of(command);
  std::vector<CompressionPlan> plans;
  for (const Size& size : sizes) {
    if (!size.target.is_null()) setting["target"] = size.target;
    plans.push_back(CompressionPlan::from_json(setting, job.where));
    job.plan = plans.back();
    job.check();
  }
  const ModelFolder model = open_model(command.model);
  nlohmann::json results = nlohmann::json::array();
  std::string text;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::string& out = sizes[i].out;
    if (sizes.size() > 1) std::filesystem::create_directories(command.out);
    job.plan = plans[i];
    nlohmann::json report = compress(command, model, job, out, context);
    for (const nlohmann::json& line : report.at("components")) {
      for (const nlohmann::json& warning : line.value("warnings", nlohmann::json::array())) {
        text += fmt::format("warning: {}: {}\n", line.at("name").get<std::string>(), warning.get<std::string>());
      }
    }
    text += fmt::format("{}: {} bytes, {:.4f} bits per weight, ratio {:.3f}\n", out,
                        report.at("bytes").get<std::uint64_t>(), report.at("bits_per_weight").get<double>(),
                        report.at("ratio").get<double>());
    report["out"] = out;
    text += add_stage_times(report);  // of this and the sizes before
    results.push_back(std::move(report));
  }
  if (sizes.size() > 1) std::filesystem::remove_all(work_folder(command.out));
  context.print(results.size() == 1 ? results.front() : results, text);
}

}  // namespace

void add_compress_command(CLI::App& app, CommandContext& context) {
  const auto options = std::make_shared<CompressCommand>();
  CLI::App* command = add_command(
      app, context, "compress", "Compress a model by one method",
      "  lcomp compress models/smollm2 --method rtn --bits 4 --group-size 64 --out out/smollm2-4bit\n"
      "  lcomp compress models/smollm2 --method rtn --ratio 5 --out out/smollm2-ratio5\n"
      "  lcomp compress models/smollm2 --bits 3 --group-size 32 --grid mse --component \"*.down_proj\"='{\"bits\": "
      "5}' --out out/mixed\n"
      "  lcomp compress models/smollm2 --method gptq:bits=4,group=128,act_order --texts c4 --sequences 64 --tokens 512 "
      "--out out/gptq4\n"
      "  lcomp compress models/smollm2 --config setting.json --bits-per-weight 3.2 --out out/smollm2-3.2");
  command->add_option("model", options->model, "the original: model folder or GGUF file")->required();
  command->add_option("--out", options->out, "folder to write")->required();
  command->add_option("--config", options->config, "JSON file with a compression setting (docs/cli.md)");
  command->add_option(
      "--method", options->method,
      "a method string such as rtn, rtn:bits=4,group=64 or f16 (default: rtn); the options below are laid "
      "over it; learned: rate with allocator learned");
  command->add_option("--bits", options->bits, "bits of a code, 1 to 8; 16: plain f16");
  command->add_option("--group-size", options->group_size,
                      "columns that share a scale, or channel, or tensor (default: 64)");
  command->add_flag("--symmetric", options->symmetric, "no zero points");
  command->add_option("--grid", options->grid,
                      "minmax, or mse: a narrower range that minimises squared error (default: minmax)");
  command->add_option("--scales", options->scales,
                      "f16, u8 (8-bit scales with a 16-bit scale per row), f32 (default: f16)");
  command->add_option(
      "--activations", options->activations,
      "round the inputs of linears to 8-bit integers too: token (a scale for each token), tensor (fixed "
      "ranges, which need --texts or --statistics), or a JSON object (docs/cli.md)");
  command->add_option("--statistics", options->statistics,
                      "what lcomp calibrate wrote, for methods such as gptq; instead of --texts");
  command
      ->add_option("--statistics-of", options->statistics_of,
                   "the model that --statistics were made on, where it isn't the one to compress: what this was "
                   "compressed to before")
      ->needs("--statistics");
  command
      ->add_option("--cost", options->cost,
                   "of the sensitivities in --statistics, for rate-coded and banded models (default: divergence where "
                   "it is there)")
      ->check(CLI::IsMember({"divergence", "cross_entropy"}));
  command
      ->add_option(
          "--allocator", options->allocator,
          "how bytes are shared out to meet a size: fixed or across, for rate-coded and banded models also within, "
          "second_order or learned (default: fixed, for rate-coded and banded models second_order)")
      ->check(CLI::IsMember(allocator_names()));
  command->add_option("--rounds", options->rounds, "of allocator learned, at most (default: 6)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--learning-sequences", options->learning_sequences,
                   "that allocator learned and the repair learn from: further ones of --texts (default: 24, and 48)")
      ->check(CLI::PositiveNumber);
  command->add_option("--held-out", options->held_out, "further ones, which tell when it stops (default: 16)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--recalibrations", options->recalibrations,
                   "compress so many times before, each by statistics of --texts made on what the one before became "
                   "(default: 0)")
      ->check(CLI::Range(0, 8));
  command->add_flag("--repair", options->repair,
                    "train norms and rows' factors for a few steps afterwards, on further texts");
  command->add_option("--repair-steps", options->repair_steps, "how many (default: 64)")->check(CLI::PositiveNumber);
  options->calibration.add_to(*command, context, true);
  add_compute_option(*command, options->compute);
  command
      ->add_option("--component", options->components,
                   "PATTERN=SETTING: other settings for the components whose name matches")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  auto* target = command->add_option_group("target", "a size, everything counted; widths are chosen to meet it");
  target
      ->add_option("--ratio", options->ratios,
                   "16-bit size / compressed size; several, 3,5,7: a model of each in --out")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  target->add_option("--bits-per-weight", options->bits_per_weight, "8 x bytes / parameters; one or several")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  target->add_option("--bytes", options->bytes, "bytes; one or several")->delimiter(',')->check(CLI::PositiveNumber);
  target->require_option(0, 1);
  command->add_flag("--replace", options->replace, "replace --out when it exists");
  command->callback([options, &context] { run(*options, context); });
}

}  // namespace lcomp
