#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/calibration/calibration_archive.h"
#include "lcomp/calibration/calibration_options.h"
#include "lcomp/calibration/calibration_texts.h"
#include "lcomp/calibration/compression_statistics.h"
#include "lcomp/calibration/sensitivity.h"
#include "lcomp/compression/statistics_provider.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// How a model is calibrated, as JSON:
//   {"texts": "c4" | ["FILE", ...] | "mmlu" | "arc-easy" | "arc-challenge" | {"task": ...}, "sequences": 128, "tokens":
//   2048, "short_texts": "concatenate" | "skip" | "keep",
//    "long_texts": "cut" | "split",
//    "seed": 0, "bos": true, "order": "original" | "block" | "stage", "sensitivity": "divergence" | "cross_entropy",
//    "row_groups": 1, "draws": 1, "memory": 2147483648}
// texts   "c4": c4/c4-train.jsonl of the data folder; files, .jsonl with a "text" each line, or raw text; or a task's
//         prompts with their answers, by its name or with the keys of ChoiceProtocol and "data", a folder of its own
// order   whose outputs a block is calibrated on: the original's ("original": one pass for all methods), those of the
//         compressed blocks before it ("block"), or those and the compressed linears before it in its own block
//         ("stage")
// sensitivity  also how much a cost depends on each component, by a backward pass: for rate-coded models, of order
//         "original" only. row_groups and draws as in SensitivityOptions
// memory  bytes of activations kept in memory; more go to disk
struct CalibrationSetting {
  enum class Order { original, block, stage } order = Order::block;
  CalibrationTextOptions texts;
  std::optional<SensitivityOptions> sensitivity;
  std::uint64_t memory = std::uint64_t{2} << 30;

  // Throws Error naming the key under `where`. `data`: the data folder, for "c4".
  static CalibrationSetting from_json(const nlohmann::json& json, const std::string& where, const std::string& data);
};

// The texts of a setting as tokens of the model.
CalibrationTexts calibration_texts(const CalibrationSetting& setting, const ModelFolder& model);

// Statistics as compress_model() needs them, for the texts that calibration_texts() gave. With Order::original they are
// kept in the folder `archive`, or taken from there where they are there already; else `work` keeps what an interrupted
// compression goes on with. `measured`, with Order::original: the model to make them on, where it isn't `model`
// (archived_statistics). `model` must outlive the result.
struct StatisticsPlaces {
  std::filesystem::path archive;
  SequentialWork work;
};
std::unique_ptr<StatisticsProvider> make_statistics(const CalibrationSetting& setting, const CalibrationTexts& texts,
                                                    const ModelFolder& model, ComputeType compute,
                                                    const StatisticsPlaces& places, const ProgressCallback& progress,
                                                    const ModelFolder* measured = nullptr);

}  // namespace lcomp
