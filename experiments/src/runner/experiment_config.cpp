#include "runner/experiment_config.h"

#include <fmt/format.h>

#include <limits>
#include <set>

#include "lcomp/allocators/allocation_policy.h"
#include "lcomp/core/error.h"
#include "lcomp/forward/compute_type.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "runner/config_setting.h"

namespace lcomp {
namespace {

ExperimentSize read_size(ConfigReader& reader) {
  ExperimentSize size;
  int targets = 0;
  if (reader.has("bits")) {
    size.json["bits"] = reader.integer("bits", 1, 16);
    ++targets;
  }
  if (reader.has("ratio")) {
    size.json["ratio"] = reader.real("ratio", 0.1, 1000);
    ++targets;
  }
  if (reader.has("bits_per_weight")) {
    size.json["bits_per_weight"] = reader.real("bits_per_weight", 0.01, 64);
    ++targets;
  }
  if (reader.has("bytes")) {
    size.json["bytes"] = reader.integer("bytes", 1, std::numeric_limits<std::int64_t>::max());
    ++targets;
  }
  if (targets != 1) {
    throw Error({reader.where(), fmt::format("{} of bits, ratio, bits_per_weight, bytes", targets), "exactly one", ""});
  }
  return size;
}

}  // namespace

std::string ExperimentSize::name() const {
  const std::string& key = json.begin().key();
  const nlohmann::json& value = json.begin().value();
  if (key == "ratio") return fmt::format("ratio {}", value.get<double>());
  if (key == "bits_per_weight") return fmt::format("{} bits per weight", value.get<double>());
  return fmt::format("{} {}", value.get<std::int64_t>(), key);
}

nlohmann::json ExperimentMethod::plan_record(const ExperimentSize& size) const {
  nlohmann::json plan = setting;
  if (size.json.contains("bits")) {
    plan["quantizer"]["bits"] = size.json.at("bits");
  } else {
    plan["target"] = size.json;
  }
  return plan;
}

nlohmann::json ExperimentMethod::job_parts() const {
  nlohmann::json parts = {{"learning", learning}, {"recalibrations", recalibrations}};
  if (!calibration.is_null()) parts["calibration"] = calibration;
  if (!tuning.is_null()) parts["tune"] = tuning;
  return parts;
}

ExperimentConfig read_experiment(const std::filesystem::path& path, const std::vector<std::string>& settings) {
  ExperimentConfig config;
  config.source = parse_json_file(path);
  for (const std::string& setting : settings) apply_setting(config.source, setting);

  ConfigReader reader(config.source, path.filename().string());
  config.name = reader.string_or("name", path.stem().string());
  config.description = reader.string_or("description", "");
  config.model = reader.string("model");
  config.output = reader.string_or("output", "runs/" + config.name);
  config.data = reader.string_or("data", "");
  config.compute = compute_type_from_name(reader.one_of_or("compute", "float32", {"float32", "bfloat16"}));
  config.keep_models = reader.boolean_or("keep_models", false);

  nlohmann::json calibration;
  if (reader.has("calibration")) calibration = reader.object("calibration");
  nlohmann::json learning = nlohmann::json::object();
  if (reader.has("learning")) learning = reader.object("learning");
  if (reader.has("checkpoint")) {
    ConfigReader checkpoint(reader.object("checkpoint"), reader.where("checkpoint"));
    config.checkpoint_source = checkpoint.string("source");
    config.checkpoint_bytes =
        static_cast<std::uint64_t>(checkpoint.integer("bytes", 1, std::numeric_limits<std::int64_t>::max()));
    checkpoint.finish();
  }
  std::vector<ExperimentSize> sizes;
  if (reader.has("sizes")) reader.each_object("sizes", [&](ConfigReader& entry) { sizes.push_back(read_size(entry)); });
  std::set<std::string> names;
  reader.each_object("methods", [&](ConfigReader& entry) {
    ExperimentMethod method;
    method.name = entry.string("name");
    method.setting["quantizer"] = setting_object(entry.any("quantizer"), entry.where("quantizer"));
    method.calibration = calibration;
    if (entry.has("calibration")) {
      if (method.calibration.is_null()) method.calibration = nlohmann::json::object();
      method.calibration.update(entry.object("calibration"));
    }
    if (entry.has("activations")) method.setting["activations"] = entry.object("activations");
    if (entry.has("components")) method.setting["components"] = entry.object("components");
    if (entry.has("allocator")) method.setting["allocator"] = entry.one_of("allocator", allocator_names());
    method.learning = learning;
    if (entry.has("learning")) method.learning.update(entry.object("learning"));
    for (const char* key : {"repair", "tune"}) {  // the first is its older name
      if (entry.has(key)) method.tuning = entry.object(key);
    }
    method.recalibrations = static_cast<int>(entry.integer_or("recalibrations", 0, 0, 8));
    method.sizes = sizes;
    if (entry.has("sizes")) {
      method.sizes.clear();
      entry.each_object("sizes", [&](ConfigReader& size) { method.sizes.push_back(read_size(size)); });
    }
    if (method.sizes.empty()) {
      throw Error({entry.where("sizes"), "a method without sizes", "\"sizes\" of the experiment or of the method", ""});
    }
    if (!names.insert(method.name).second) {
      throw Error(
          {entry.where("name"), fmt::format("\"{}\" for a second method", method.name), "a name of its own", ""});
    }
    for (const ExperimentSize& size : method.sizes) {
      method.plans.push_back(CompressionPlan::from_json(method.plan_record(size), method.name));
    }
    config.methods.push_back(std::move(method));
  });
  names.clear();
  reader.each_object("tasks", [&](ConfigReader& entry) {
    ExperimentTask task;
    const std::string kind = entry.one_of("task", {"perplexity", "kl", "mmlu", "arc-easy", "arc-challenge", "choices"});
    if (const auto choice_task = ChoiceProtocol::task_from_name(kind)) {
      if (*choice_task != ChoiceProtocol::Task::choices) task.data = entry.string_or("data", "");
      task.choices = ChoiceProtocol::from_config(*choice_task, entry);
      task.name = entry.string_or("name", task.choices->name());
    } else {
      task.kl = kind == "kl";
      task.protocol = TextProtocol::from_config(entry);
      task.name = entry.string_or("name", task.protocol.name());
    }
    if (!names.insert(task.name).second) {
      throw Error({entry.where("name"), fmt::format("\"{}\" for a second task", task.name), "a name of its own", ""});
    }
    config.tasks.push_back(std::move(task));
  });
  reader.finish();
  if (config.tasks.empty()) throw Error({reader.where("tasks"), "no task", "at least one", ""});
  if (config.methods.empty() && !sizes.empty())
    throw Error({reader.where(), "sizes without methods", "both or neither", ""});
  return config;
}

}  // namespace lcomp
