#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/compression/compression_plan.h"
#include "lcomp/eval/choice_protocol.h"
#include "lcomp/eval/text_protocol.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// One size: fixed bits for every component ({"bits": 4}), or a target that the allocator meets ({"ratio": 5},
// {"bits_per_weight": 3.2}, {"bytes": 50000000}).
struct ExperimentSize {
  nlohmann::json json;
  std::string name() const;  // "4 bits", "ratio 5", "3.2 bits per weight", "50000000 bytes"
};

// One way to compress, at some sizes. What it is besides the plans of its sizes is kept as it was written: jobs are
// made of it when the data folder is known, and records and the names of cells hold it (docs/cli.md, "compression
// settings").
struct ExperimentMethod {
  std::string name;
  nlohmann::json setting;                              // a compression plan without its size
  nlohmann::json calibration;                          // of CalibrationSetting; null: none
  nlohmann::json learning = nlohmann::json::object();  // of LearningSetting, for allocator "learned"
  nlohmann::json tuning;                               // of TuningSetting; null: none
  int recalibrations = 0;                              // of CompressionJob
  std::vector<ExperimentSize> sizes;
  std::vector<CompressionPlan> plans;  // as sizes

  // The plan at a size as it was written.
  nlohmann::json plan_record(const ExperimentSize& size) const;
  // The other keys of a job.
  nlohmann::json job_parts() const;
};

struct ExperimentTask {
  std::string name;                       // the protocol's, or "name" of the config where two tasks share a protocol
  TextProtocol protocol;                  // perplexity and kl
  bool kl = false;                        // divergence from the original too
  std::optional<ChoiceProtocol> choices;  // instead: questions with choices
  std::string data;                       // folder of its questions; empty: that of the experiment
};

// An experiment file: a model, methods, sizes and tasks. Every method is run at its sizes and scored by every task.
struct ExperimentConfig {
  std::string name;
  std::string description;
  std::filesystem::path model;
  std::filesystem::path output;
  std::filesystem::path cache;  // of what the original computed for kl tasks; empty: OUTPUT/reference
  std::string data;
  ComputeType compute = ComputeType::float32;
  bool keep_models = false;
  // Where the original is published and how many bytes it has, for whoever doesn't have it; empty and 0: not said.
  std::string checkpoint_source;
  std::uint64_t checkpoint_bytes = 0;
  std::vector<ExperimentMethod> methods;
  std::vector<ExperimentTask> tasks;
  nlohmann::json source;  // the file as read, with --set applied
};

// Reads an experiment file strictly. `settings` are "key=value" of --set: key is a path such as "tasks[0].sequences",
// value is JSON, or a string where it is not. Throws Error naming the key's path.
ExperimentConfig read_experiment(const std::filesystem::path& path, const std::vector<std::string>& settings);

}  // namespace lcomp
