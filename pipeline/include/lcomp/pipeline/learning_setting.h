#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "lcomp/compression/learned_allocation.h"
#include "lcomp/core/progress.h"
#include "lcomp/eval/choice_protocol.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/pipeline/calibration_setting.h"
#include "lcomp/training/tuning.h"

namespace lcomp {

// What the learned allocation (allocator "learned") descends on, as JSON:
//   {"cost": "divergence" | "cross_entropy" | "answers", "sequences": 24, "held_out": 16, "skip": 64, "rounds": 6,
//    "texts": ..., "tokens": ..., "short_texts": ..., "long_texts": ..., "seed": ..., "bos": ...,
//    "questions": {"task": "mmlu", "shots": 0, ...}}
// cost      divergence from the original, cross entropy of the texts, or the cross entropy of the right letter among
//           those of questions
// sequences, held_out   how many are learned from, and how many tell when to stop; questions for "answers"
// skip      sequences that are drawn before and not used; default: those of the calibration
// rounds    the most
// texts ... as in CalibrationSetting; those that are left out are the calibration's
// questions for cost "answers": a task as in experiment files, with letters in its prompts
struct LearningSetting {
  enum class Cost { divergence, cross_entropy, answers } cost = Cost::divergence;
  CalibrationTextOptions texts;  // skip + training + held_out sequences
  std::size_t skip = 0, training = 24, held_out = 16;
  int rounds = 6;
  std::optional<ChoiceProtocol> questions;
  std::string data;  // the data folder, of questions

  std::size_t training_tokens() const { return training * tokens_each(); }  // about, of questions
  std::size_t held_out_tokens() const { return held_out * tokens_each(); }
  std::size_t tokens_each() const { return questions ? 128 : texts.tokens; }

  // calibration: the setting's, or null. Throws Error naming the key under `where`.
  static LearningSetting from_json(const nlohmann::json& json, const nlohmann::json& calibration,
                                   const std::string& where, const std::string& data);
};

// Tuning of norms and row scales after compression (lcomp/training/tuning.h), as JSON:
//   {"steps": 64, "rate": 0.002, "sequences_per_step": 1, "sequences": 48, ...}
// and the keys above, but for "rounds". The sequences are used in turn. Without "rate" it follows from the cost.
struct TuningSetting {
  LearningSetting texts;
  int steps = 64;
  std::optional<double> rate;
  std::size_t sequences_per_step = 1;

  static TuningSetting from_json(const nlohmann::json& json, const nlohmann::json& calibration,
                                 const std::string& where, const std::string& data);
};
// Without budget and folders.
TuningOptions make_tuning(const TuningSetting& setting, const ModelFolder& model, ComputeType compute,
                          const ProgressCallback& progress);

// Reads the texts and runs the original over them. `model` must outlive the result.
LearningOptions make_learning(const LearningSetting& setting, const ModelFolder& model, ComputeType compute,
                              const ProgressCallback& progress);

// Everything in a setting that decides results beside the model, in words, for the keys of unfinished work.
std::string describe(const LearningSetting& setting);
std::string describe(const TuningSetting& setting);

}  // namespace lcomp
