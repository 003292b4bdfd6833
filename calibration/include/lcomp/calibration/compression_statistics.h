#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "lcomp/calibration/calibration_archive.h"
#include "lcomp/calibration/calibration_texts.h"
#include "lcomp/calibration/sequential_calibration.h"
#include "lcomp/compression/statistics_provider.h"

namespace lcomp {

// What compress_model() gets statistics from. The embedding of a model with a head of its own has none; a tied
// embedding has those of the head: the final hidden states.

// Statistics of the original model, from an archive of calibrate(); with `cost`, also how much that cost depends on
// each component (LayerStats::sensitivity), the embedding included. Throws Error when the archive is another model's,
// or has no sensitivities for the cost.
std::unique_ptr<StatisticsProvider> archived_statistics(const ModelFolder& model, CalibrationArchive archive,
                                                        std::optional<SensitivityCost> cost = std::nullopt);

// Statistics of the model as far as it is compressed: each block is calibrated on the outputs of the compressed ones
// before it, and with BlockOrder::by_stage each linear on those of its own block (SequentialCalibration). The embedding
// is compressed first, unless it is tied: then it comes last, as the head. `model` must outlive the result. Memory and
// errors: calibrate.h.
// With a folder in `work`, the residual stream is kept there after each block until the caller deletes it: after kill
// -9, the next object for the same work goes on at the block where it stopped, if it is told (compressed()) what the
// components before became.
struct SequentialWork {
  std::filesystem::path folder;  // empty: nothing is kept
  std::string key;               // what else than model, texts and options decides the result: the compression plan
};
std::unique_ptr<StatisticsProvider> sequential_statistics(const ModelFolder& model, CalibrationTexts texts,
                                                          BlockOrder order, const CalibrationOptions& options = {},
                                                          ComputeType compute = ComputeType::float32,
                                                          SequentialWork work = {});

}  // namespace lcomp
