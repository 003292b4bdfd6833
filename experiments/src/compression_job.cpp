#include "compression_job.h"

#include <map>

#include "lcomp/compression/learned_allocation.h"
#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/training/repair.h"
#include "learning_setting.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

LearningSetting learning_of(const CompressionJob& job) {
  return LearningSetting::from_json(job.learning, job.calibration, job.where + ": learning", job.data);
}
RepairSetting repair_of(const CompressionJob& job) {
  return RepairSetting::from_json(job.repair, job.calibration, job.where + ": repair", job.data);
}

nlohmann::json compress(const CompressionJob& job, const ModelFolder& model, const fs::path& out,
                        const CompressOptions& options, const ProgressCallback& progress) {
  if (!job.learns()) return to_json(compress_model(model, job.plan, out, options, progress));
  const LearnedCompression learned = compress_learned(
      model, job.plan, out, options, make_learning(learning_of(job), model, job.compute, job.data), progress);
  nlohmann::json json = to_json(learned.report);
  json["learning"] = {{"rounds", to_json(learned.rounds)}, {"round", learned.best}};
  return json;
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
}

nlohmann::json run_job(const CompressionJob& job, const ModelFolder& model, const fs::path& out,
                       const CompressOptions& options, const ProgressCallback& progress) {
  if (!job.repairs()) return compress(job, model, out, options, progress);
  if (!options.replace && fs::exists(out)) {  // found out before the work
    throw Error({out.string(), "a model that exists already", "", "choose another name, or use --replace"});
  }
  const fs::path unrepaired = options.work / "unrepaired", report_file = options.work / "unrepaired.json";
  nlohmann::json report;
  if (fs::exists(report_file) && fs::exists(unrepaired)) {
    report = parse_json_file(report_file);
  } else {
    CompressOptions first = options;
    first.replace = true;
    first.work = options.work / "compression";
    if (job.plan.target) first.reserved_bytes = expected_repair_bytes(model);
    report = compress(job, model, unrepaired, first, progress);
    write_text_file(report_file, report.dump() + "\n");
    fs::remove_all(first.work);
  }
  RepairOptions repair = make_repair(repair_of(job), model, job.compute, job.data);
  if (job.plan.target) repair.budget = job.plan.target->budget(model.parameters());
  repair.replace = options.replace;
  repair.work = options.work / "repair";
  repair.work_key = options.work_key;
  const RepairReport repaired = repair_model(open_model(unrepaired), out, repair, progress);
  set_sizes(report, open_model(out));
  report["repair"] = {{"points", to_json(repaired.points)}, {"step", repaired.step}};
  return report;
}

}  // namespace lcomp
