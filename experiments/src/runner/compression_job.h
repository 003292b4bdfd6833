#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "lcomp/compression/compress_model.h"
#include "lcomp/compression/compression_plan.h"
#include "lcomp/core/progress.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

class TimeEstimate;

// What one model is made by, from the allocation to the repair; everything is checked when it is read.
struct CompressionJob {
  CompressionPlan plan;
  nlohmann::json calibration =
      nlohmann::json::object();                        // of CalibrationSetting; texts of the others are its by default
  nlohmann::json learning = nlohmann::json::object();  // of LearningSetting, for allocator "learned"
  nlohmann::json repair;                               // of RepairSetting; null: none
  // So many compressions come before, each by statistics made on what the one before became, so that the last knows the
  // inputs that its blocks will get; with allocator "learned" they are by "second_order".
  int recalibrations = 0;
  // Where what an allocator "learned" has learned is kept for other jobs that differ in the repair alone: the first
  // writes it, the others only compress. Empty: nowhere.
  std::filesystem::path learned;
  std::string where;  // for errors
  std::string data;   // the data folder
  ComputeType compute = ComputeType::float32;

  // Throws Error for settings of learning, recalibration and repair that are wrong.
  void check() const;
  bool learns() const { return plan.allocator == "learned"; }
  bool repairs() const { return !repair.is_null(); }
  // Seconds, of all of it but statistics that aren't its own; `once`: of one compression.
  double expected_seconds(const TimeEstimate& estimate, double once) const;
};

// Compresses, recalibrating, learning the allocation and repairing the result where the job says so, into `out`.
// options.work is needed where it does; what is finished there is not done again. options.statistics: of the original.
// Returns to_json(CompressionReport) of the result, and under "recalibrations", "learning" and "repair" how they went.
nlohmann::json run_job(const CompressionJob& job, const ModelFolder& model, const std::filesystem::path& out,
                       const CompressOptions& options, const ProgressCallback& progress);

}  // namespace lcomp
