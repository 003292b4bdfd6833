#include "lcomp/pipeline/compression_job.h"

#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

void check_recalibrations(const CompressionJob& job) {
  const std::string where = job.where + ": recalibrations";
  if (!job.uses_calibration()) {
    throw Error({where, "with a method that uses no statistics", "gptq, rate or the like", ""});
  }
  if (!job.calibration) {
    throw Error({where, "no texts to make statistics on", "those of the calibration (--texts and its options)", ""});
  }
  if (job.calibration->order == CalibrationSetting::Order::original) return;
  throw Error({where, "calibration on the outputs of compressed blocks", "\"order\": \"original\" (or --statistics)",
               "these blocks know their inputs already"});
}

}  // namespace

CompressionJob CompressionJob::from_json(const nlohmann::json& json, const std::string& where, const std::string& data,
                                         ComputeType compute, std::optional<StatisticsArchive> statistics) {
  nlohmann::json plan = json, parts = nlohmann::json::object();
  for (const char* key : {"calibration", "learning", "tune", "repair", "recalibrations"}) {
    if (!plan.contains(key)) continue;
    parts[key] = std::move(plan[key]);
    plan.erase(key);
  }
  return from_parts(CompressionPlan::from_json(plan, where), parts, where, data, compute, std::move(statistics));
}

CompressionJob CompressionJob::from_parts(CompressionPlan plan, const nlohmann::json& parts, const std::string& where,
                                          const std::string& data, ComputeType compute,
                                          std::optional<StatisticsArchive> statistics) {
  const nlohmann::json nothing = nlohmann::json::object();
  ConfigReader reader(parts, where);
  CompressionJob job;
  job.plan = std::move(plan);
  job.where = where;
  job.compute = compute;
  job.statistics = std::move(statistics);
  job.recalibrations = static_cast<int>(reader.integer_or("recalibrations", 0, 0, 8));
  const nlohmann::json& calibration = reader.has("calibration") ? reader.object("calibration") : nothing;
  const nlohmann::json& learning = reader.has("learning") ? reader.object("learning") : nothing;
  // Calibration data that nothing uses isn't looked at.
  if (job.uses_calibration() && (calibration.contains("texts") || (!job.statistics && !calibration.empty()))) {
    job.calibration = CalibrationSetting::from_json(calibration, where + ": calibration", data);
  }
  if (job.learns()) job.learning = LearningSetting::from_json(learning, calibration, where + ": learning", data);
  for (const char* key : {"tune", "repair"}) {
    if (!reader.has(key)) continue;
    if (job.tuning) throw Error({where, "both \"tune\" and \"repair\", its older name", "one of them", ""});
    job.tuning = TuningSetting::from_json(reader.object(key), calibration, where + ": " + key, data);
  }
  reader.finish();
  if (job.recalibrations > 0) check_recalibrations(job);
  return job;
}

}  // namespace lcomp
