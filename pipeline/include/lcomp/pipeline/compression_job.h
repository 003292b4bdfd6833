#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "lcomp/compression/compression_plan.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/pipeline/calibration_setting.h"
#include "lcomp/pipeline/job_statistics.h"
#include "lcomp/pipeline/learning_setting.h"

namespace lcomp {

// What one model is made by, from the allocation to the tuning afterwards: typed, complete and checked, so that nothing
// below it reads JSON.
struct CompressionJob {
  CompressionPlan plan;
  // Where the statistics come from that the plan uses: an archive of `lcomp calibrate`, or calibration data. With an
  // archive, the calibration says what a recalibration is made on.
  std::optional<StatisticsArchive> statistics;
  std::optional<CalibrationSetting> calibration;
  std::optional<LearningSetting> learning;  // of allocator learned
  std::optional<TuningSetting> tuning;      // nothing: none
  // So many compressions come before, each by statistics made on the compressed version that the one before made, so
  // that the last knows the inputs that its blocks will get; with allocator learned they are by second_order.
  int recalibrations = 0;
  ComputeType compute = ComputeType::float32;
  std::string where = "compression";  // for errors

  // Reads a compression setting: the keys of CompressionPlan, and
  //   {"calibration": CalibrationSetting, "learning": LearningSetting, "tune": TuningSetting, "recalibrations": 0}
  // "repair" is an older name of "tune". Texts that "learning" and "tune" leave out are the calibration's. `data`: the
  // data folder. Throws Error naming the key under `where`.
  static CompressionJob from_json(const nlohmann::json& json, const std::string& where, const std::string& data,
                                  ComputeType compute = ComputeType::float32,
                                  std::optional<StatisticsArchive> statistics = {});
  // The same for a plan that is read already. parts: the other keys.
  static CompressionJob from_parts(CompressionPlan plan, const nlohmann::json& parts, const std::string& where,
                                   const std::string& data, ComputeType compute = ComputeType::float32,
                                   std::optional<StatisticsArchive> statistics = {});

  bool learns() const { return plan.allocation.learned; }
  bool uses_calibration() const { return uses_statistics(plan); }
};

}  // namespace lcomp
