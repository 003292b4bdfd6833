#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/formats/compressed_weight.h"
#include "lcomp/training/adamw.h"
#include "lcomp/training/blockwise.h"
#include "lcomp/training/learning_rate.h"
#include "lcomp/training/projected_weights.h"

namespace lcomp {

// How much of the tokens comes from a file, by step: straight lines between points (step, share), constant before the
// first and after the last.
struct ShareSchedule {
  std::vector<std::pair<std::uint64_t, double>> points;

  double at(std::uint64_t step) const;
};

struct TrainingFile {
  std::filesystem::path file;
  ShareSchedule share;
};

// A model whose distribution of the next token is learned in place of the texts' own tokens.
struct Teacher {
  std::filesystem::path model;
  std::uint64_t top_tokens = 64;  // its most likely ones, the others as one; 0: all
  std::filesystem::path cache;    // of what it says (teacher_cache.h); empty: it is asked again each time
};

struct HeldOutTexts {
  std::filesystem::path file;
  std::uint64_t windows = 64;  // at most, from its beginning
};

// What `lcomp train` does; docs/cli.md describes the file. Relative paths are relative to the current folder.
struct TrainingConfig {
  // One of the two: a folder to begin with, or the shape of a new Llama, keys as in Hugging Face's config.json.
  std::filesystem::path model;
  nlohmann::json new_model;
  double initial_deviation = 0.02;

  std::filesystem::path tokenizer;  // empty: the model's
  std::string end_token;            // after every text; empty: none
  std::vector<TrainingFile> data;
  bool joined = false;  // "texts": "joined", not "separate"

  std::uint64_t window = 256;  // tokens
  std::uint64_t batch = 16;    // windows that go through the model at once
  std::uint64_t accumulation = 1;
  std::uint64_t steps = 1000;
  LearningRate learning_rate;
  AdamWOptions adamw;
  std::optional<QuantizedTraining> qat;
  std::optional<Teacher> teacher;
  // In place of training the whole: block by block on this many windows, where `qat` is given. The steps, batch and
  // seed of its options come from the keys of the same names.
  std::optional<BlockwiseOptions> blockwise;
  std::uint64_t blockwise_windows = 128;
  double clip = 1;  // the largest norm of the gradient; 0: any
  std::uint64_t seed = 0;

  std::uint64_t checkpoint_every = 500;
  std::uint64_t evaluate_every = 500;
  std::optional<HeldOutTexts> held_out;
  DenseType dtype = DenseType::f16;  // of the model that is written
  std::filesystem::path out;

  // Throws Error naming the key's path under `where`.
  static TrainingConfig from_json(const nlohmann::json& json, const std::string& where);
};
nlohmann::json to_json(const TrainingConfig& config);

// The keys whose values differ, as "KEY: OLD, now NEW"; of those that decide what a checkpoint goes on with.
// `extending` leaves out those that may be changed in the middle of a training: steps, learning rates, decay, clipping
// and shares.
std::vector<std::string> differences(const nlohmann::json& before, const nlohmann::json& now, bool extending);

}  // namespace lcomp
