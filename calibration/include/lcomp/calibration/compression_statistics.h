#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "lcomp/archive/workspace.h"
#include "lcomp/calibration/calibration_archive.h"
#include "lcomp/calibration/calibration_texts.h"
#include "lcomp/calibration/sequential_calibration.h"
#include "lcomp/compression/statistics_source.h"

namespace lcomp {

// What compress_model() gets statistics from. The embedding of a model with a head of its own has none; a tied
// embedding has those of the head: the final hidden states.

// Statistics from an archive of calibrate(), of the original; with `cost`, also how much that cost depends on each
// component (LayerStats::sensitivity), the embedding included. `measured`: the model that they were made on, where that
// isn't `model` but has the same components: itself compressed once, say, so that a second compression knows the inputs
// that its blocks will get. Throws Error when the archive is another model's, has no sensitivities for the cost, or
// `measured` has other components.
std::unique_ptr<RandomAccessStatistics> archived_statistics(const ModelFolder& model, CalibrationArchive archive,
                                                            std::optional<SensitivityCost> cost = {},
                                                            const ModelFolder* measured = nullptr);

// Statistics of the model as far as it is compressed: each block is calibrated on the outputs of the compressed ones
// before it, and with BlockOrder::by_stage each linear layer on those of its own block (SequentialCalibration). The
// embedding is compressed first, unless it is tied: then it comes last, as the head. `model` must outlive the result.
// Memory and errors: calibrate.h.
// In `work` the residual stream is kept after each block until the caller clears it: after kill -9, the next object for
// the same work goes on at the block where it stopped, if it is told (compressed()) the compressed versions of the
// components before. Its key says what else than model, calibration data and options decides the result: the
// compression plan.
std::unique_ptr<SequentialStatistics> sequential_statistics(const ModelFolder& model, CalibrationTexts texts,
                                                            BlockOrder order, const CalibrationOptions& options = {},
                                                            ComputeType compute = ComputeType::float32,
                                                            Workspace work = {});

}  // namespace lcomp
