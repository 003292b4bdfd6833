#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "lcomp/calibration/calibration_texts.h"
#include "lcomp/calibration/sensitivity.h"
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
//         compressed blocks before it ("block"), or those and the compressed linear layers before it in its own block
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

// Everything in a setting that decides values beside the tokens themselves, in words, for the keys of unfinished work.
std::string describe(const CalibrationSetting& setting);
// The choice of texts in words: files or prompts, sequences, tokens, seed.
std::string describe(const CalibrationTextOptions& texts);

// The calibration data of a setting as tokens of the model.
CalibrationTexts calibration_texts(const CalibrationSetting& setting, const ModelFolder& model);

}  // namespace lcomp
