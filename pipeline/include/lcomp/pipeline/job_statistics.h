#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "lcomp/archive/workspace.h"
#include "lcomp/calibration/calibration_archive.h"
#include "lcomp/calibration/calibration_texts.h"
#include "lcomp/calibration/sensitivity.h"
#include "lcomp/compression/statistics_source.h"
#include "lcomp/core/progress.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/pipeline/calibration_setting.h"

namespace lcomp {

// Statistics that `lcomp calibrate` made.
struct StatisticsArchive {
  std::filesystem::path folder;
  std::optional<SensitivityCost> cost;  // whose sensitivities are used; nothing: those that are there, divergence first
  std::filesystem::path measured;       // the model that they were made on, where it isn't the one to compress
};

// Whose sensitivities in the archive are used: those asked for, or those that are there. Throws Error where those asked
// for are not.
// opened: that archive.
std::optional<SensitivityCost> cost_of(const StatisticsArchive& archive, const CalibrationArchive& opened);

// Where statistics of a setting are kept.
struct StatisticsPlaces {
  std::filesystem::path archive;  // those of the original: taken from there where they are there already
  Workspace work;                 // of order block or stage: what an interrupted compression goes on with
};

// Statistics as compress_model() needs them, for the calibration data that calibration_texts() gave. `measured`, with
// Order::original: the model to make them on, where it isn't `model` (archived_statistics). `model` must outlive the
// result.
StatisticsSource make_statistics(const CalibrationSetting& setting, const CalibrationTexts& texts,
                                 const ModelFolder& model, ComputeType compute, const StatisticsPlaces& places,
                                 const ProgressCallback& progress, const ModelFolder* measured = nullptr);

}  // namespace lcomp
