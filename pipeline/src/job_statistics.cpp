#include "lcomp/pipeline/job_statistics.h"

#include <utility>

#include "lcomp/calibration/calibrate.h"
#include "lcomp/calibration/calibration_archive.h"
#include "lcomp/calibration/compression_statistics.h"
#include "lcomp/core/error.h"

namespace lcomp {

std::optional<SensitivityCost> cost_of(const StatisticsArchive& archive, const CalibrationArchive& opened) {
  std::optional<SensitivityCost> cost;
  for (const SensitivityCost known : {SensitivityCost::cross_entropy, SensitivityCost::divergence}) {
    if (opened.has_sensitivities(known) && (!archive.cost || archive.cost == known)) cost = known;
  }
  if (archive.cost && !cost) {
    throw Error({archive.folder.string(), "no sensitivities of " + std::string(name(*archive.cost)),
                 "those of lcomp calibrate --sensitivity", ""});
  }
  return cost;
}

StatisticsSource make_statistics(const CalibrationSetting& setting, const CalibrationTexts& texts,
                                 const ModelFolder& model, ComputeType compute, const StatisticsPlaces& places,
                                 const ProgressCallback& progress, const ModelFolder* measured) {
  CalibrationOptions options;
  options.memory_limit = setting.memory;
  options.progress = progress;
  if (setting.order != CalibrationSetting::Order::original) {
    const BlockOrder order =
        setting.order == CalibrationSetting::Order::stage ? BlockOrder::by_stage : BlockOrder::whole_block;
    return sequential_statistics(model, texts, order, options, compute, places.work);
  }
  if (places.archive.has_parent_path()) std::filesystem::create_directories(places.archive.parent_path());
  Decoder decoder(measured != nullptr ? *measured : model, compute);
  CalibrationArchive archive = calibrate(decoder, texts.batch, places.archive, options);
  if (!setting.sensitivity) return archived_statistics(model, std::move(archive), {}, measured);
  SensitivityOptions sensitivity = *setting.sensitivity;
  sensitivity.memory_limit = setting.memory;
  sensitivity.progress = progress;
  add_sensitivities(decoder, texts.batch, places.archive, sensitivity);
  return archived_statistics(model, CalibrationArchive::open(places.archive), sensitivity.cost, measured);
}

}  // namespace lcomp
