#include "runner/compression_job.h"

#include <fmt/format.h>

#include <map>
#include <memory>

#include "runner/calibration_setting.h"
#include "lcomp/compression/learned_allocation.h"
#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/training/repair.h"
#include "runner/learning_setting.h"
#include "runner/time_estimate.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

LearningSetting learning_of(const CompressionJob& job) {
  return LearningSetting::from_json(job.learning, job.calibration, job.where + ": learning", job.data);
}
RepairSetting repair_of(const CompressionJob& job) {
  return RepairSetting::from_json(job.repair, job.calibration, job.where + ": repair", job.data);
}

CalibrationSetting recalibration_of(const CompressionJob& job) {
  if (!uses_statistics(job.plan)) {
    throw Error(
        {job.where + ": recalibrations", "with a method that uses no statistics", "gptq, rate or the like", ""});
  }
  if (!job.calibration.contains("texts")) {
    throw Error({job.where + ": recalibrations", "no texts to make statistics on",
                 "those of the calibration (--texts and its options)", ""});
  }
  auto setting = CalibrationSetting::from_json(job.calibration, job.where + ": calibration", job.data);
  if (setting.order == CalibrationSetting::Order::original) return setting;
  throw Error({job.where + ": recalibrations", "calibration on the outputs of compressed blocks",
               "\"order\": \"original\" (or --statistics)", "these blocks know their inputs already"});
}

nlohmann::json compress_once(const CompressionJob& job, const ModelFolder& model, const fs::path& out,
                             const CompressOptions& options, const ProgressCallback& progress) {
  if (!job.learns()) return to_json(compress_model(model, job.plan, out, options, progress));
  if (!job.learned.empty() && fs::exists(job.learned)) {
    const nlohmann::json known = parse_json_file(job.learned);
    const auto plan = CompressionPlan::from_json(known.at("plan"), job.learned.string());
    CompressOptions recorded = options;
    recorded.record["learning"] = known.at("learning");
    recorded.record["learning"]["texts"] = known.at("texts");
    nlohmann::json json = to_json(compress_model(model, plan, out, recorded, progress));
    json["learning"] = known.at("learning");
    return json;
  }
  const LearningOptions learning = make_learning(learning_of(job), model, job.compute, job.data, progress);
  const LearnedCompression learned = compress_learned(model, job.plan, out, options, learning, progress);
  nlohmann::json json = to_json(learned.report);
  json["learning"] = {{"rounds", to_json(learned.rounds)}, {"round", learned.best}};
  if (!job.learned.empty()) {
    fs::create_directories(job.learned.parent_path());
    const nlohmann::json known = {
        {"plan", to_json(learned.plan)}, {"learning", json["learning"]}, {"texts", learning.description}};
    write_text_file(job.learned, known.dump(1) + "\n");
  }
  return json;
}

nlohmann::json compress(const CompressionJob& job, const ModelFolder& model, const fs::path& out,
                        const CompressOptions& options, const ProgressCallback& progress) {
  if (job.recalibrations == 0) return compress_once(job, model, out, options, progress);
  const CalibrationSetting setting = recalibration_of(job);
  const CalibrationTexts texts = calibration_texts(setting, model);
  CompressionJob earlier = job;
  if (job.learns()) earlier.plan.allocator = "second_order";
  CompressOptions pass = options;
  std::unique_ptr<StatisticsProvider> statistics;
  for (int i = 0; i < job.recalibrations; ++i) {
    const fs::path folder = options.work / fmt::format("pass{}", i);
    pass.replace = true;
    pass.work = folder / "compression";
    if (!fs::exists(folder / "model")) {
      compress_once(earlier, model, folder / "model", pass, progress);
      fs::remove_all(pass.work);
    }
    const ModelFolder measured = open_model(folder / "model");
    statistics = make_statistics(setting, texts, model, job.compute, {folder / "statistics", {}}, progress, &measured);
    pass.statistics = statistics.get();
    if (i > 0) fs::remove_all(options.work / fmt::format("pass{}/statistics", i - 1));
  }
  pass.replace = options.replace;
  pass.work = options.work / "last";
  nlohmann::json report = compress_once(job, model, out, pass, progress);
  report["recalibrations"] = job.recalibrations;
  return report;
}

// Deletes what finished compress() calls leave in the folder, but for what others with other bytes begin with.
void forget_last(const CompressionJob& job, const fs::path& work) {
  fs::remove_all(job.recalibrations == 0 ? work : work / "last");
}

// Makes sure that what lies in the folder is of this job.
void claim(const CompressOptions& options, const CompressionJob& job) {
  if (options.work.empty()) return;
  const fs::path file = options.work / "job.txt";
  const std::string key =
      fmt::format("{}\n{}\n{} {} {} {}\n", options.work_key, to_json(job.plan).dump(), job.calibration.dump(),
                  job.learning.dump(), job.repair.dump(), job.recalibrations);
  if (fs::exists(file) && read_text_file(file) == key) return;
  if (fs::exists(file)) {
    if (!options.replace) {
      throw Error({options.work.string(), "the unfinished work of another compression",
                   "that of this model and setting", "delete the folder, choose another --out, or use --replace"});
    }
    for (const auto& entry : fs::directory_iterator(options.work)) {
      if (entry.path().filename() != "stream") fs::remove_all(entry.path());  // of statistics, with a key of its own
    }
  }
  fs::create_directories(options.work);
  write_text_file(file, key);
}

// The report of a model that was repaired.
void set_sizes(nlohmann::json& report, const ModelFolder& repaired) {
  std::map<std::string, std::uint64_t> bytes;
  for (const TensorInfo& info : repaired.tensors->tensors()) bytes[component_name(info.name)] = info.stored_bytes;
  for (nlohmann::json& line : report.at("components")) {
    line["bytes"] = bytes.at(line.at("name").get<std::string>());
    line["bits_per_weight"] = 8 * line["bytes"].get<double>() / line.at("parameters").get<double>();
  }
  const auto parameters = report.at("parameters").get<double>();
  report["bytes"] = repaired.stored_bytes();
  report["bits_per_weight"] = 8 * static_cast<double>(repaired.stored_bytes()) / parameters;
  report["ratio"] = 2 * parameters / static_cast<double>(repaired.stored_bytes());
}

}  // namespace

void CompressionJob::check() const {
  if (learns()) learning_of(*this);
  if (repairs()) repair_of(*this);
  if (recalibrations > 0) recalibration_of(*this);
}

double CompressionJob::expected_seconds(const TimeEstimate& estimate, double once) const {
  double seconds = (1 + recalibrations) * once;
  if (learns() && (learned.empty() || !fs::exists(learned))) {
    const LearningSetting setting = learning_of(*this);
    const std::size_t training = setting.training_tokens(), held_out = setting.held_out_tokens();
    seconds += estimate.forward(training + held_out, 1, training + held_out);  // the original
    seconds += setting.rounds * (once + estimate.forward(held_out, 1, held_out) + estimate.gradients(training));
  }
  if (repairs()) {
    const RepairSetting setting = repair_of(*this);
    const std::size_t training = setting.texts.training_tokens(), held_out = setting.texts.held_out_tokens();
    seconds += estimate.forward(training + held_out, 1, training + held_out);
    seconds += setting.steps * estimate.gradients(setting.sequences_per_step * setting.texts.tokens_each());
    seconds += (1 + setting.steps / RepairOptions().evaluate_every) * estimate.forward(held_out, 1, held_out);
    if (plan.target) seconds += once;  // to fill the target
  }
  return seconds;
}

nlohmann::json run_job(const CompressionJob& job, const ModelFolder& model, const fs::path& out,
                       const CompressOptions& options, const ProgressCallback& progress) {
  if (!job.repairs() && job.recalibrations == 0) return compress_once(job, model, out, options, progress);
  if (!options.replace && fs::exists(out)) {  // found out before the work
    throw Error({out.string(), "a model that exists already", "", "choose another name, or use --replace"});
  }
  claim(options, job);
  if (!job.repairs()) return compress(job, model, out, options, progress);
  CompressionJob learned = job;  // once
  if (learned.learned.empty()) learned.learned = options.work / "learned.json";
  CompressOptions made = options;
  made.replace = true;
  made.work = options.work / "compression";
  const auto compress_into = [&](const std::string& name, std::uint64_t reserved_bytes) {
    const fs::path folder = options.work / name, file = options.work / (name + ".json");
    if (fs::exists(file) && fs::exists(folder)) return parse_json_file(file);
    made.reserved_bytes = reserved_bytes;
    nlohmann::json report = compress(learned, model, folder, made, progress);
    write_text_file(file, report.dump() + "\n");
    forget_last(learned, made.work);
    return report;
  };
  nlohmann::json report = compress_into("unrepaired", job.plan.target ? expected_repair_bytes(model) : 0);
  nlohmann::json report_again;
  RepairOptions repair = make_repair(repair_of(job), model, job.compute, job.data, progress);
  if (job.plan.target) repair.budget = job.plan.target->budget(model.parameters());
  // Statistics that come with the compressed blocks are gone.
  if (options.statistics == nullptr || options.statistics->in_any_order()) {
    repair.compress_again = [&](std::uint64_t reserved_bytes) {
      report_again = compress_into("again", reserved_bytes);
      return open_model(options.work / "again");
    };
  }
  repair.replace = options.replace;
  repair.work = options.work / "repair";
  repair.work_key = options.work_key;
  const RepairReport repaired = repair_model(open_model(options.work / "unrepaired"), out, repair, progress);
  if (repaired.recompressed) report = report_again;
  set_sizes(report, open_model(out));
  report["repair"] = to_json(repaired);
  return report;
}

}  // namespace lcomp
