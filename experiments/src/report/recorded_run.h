#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/eval/answer_file.h"

namespace lcomp {

// One line of a finished experiment: the original, or a method at a size.
struct RecordedRow {
  std::string method;  // "original" for the original
  std::string size;
  std::string cell;  // folder under cells/
  std::uint64_t bytes = 0, parameters = 0;
  double bits_per_weight = 0;
  nlohmann::json scores;  // by task

  bool is_original() const { return method == "original"; }
};

struct RecordedTask {
  std::string name;
  std::string description;
  std::string key;  // hash of what is scored and how; empty in records of earlier versions
  bool kl = false, choices = false;
  nlohmann::json protocol;
};

// What `lcomp run` left in a folder.
struct RecordedRun {
  std::filesystem::path folder;
  std::string name;
  std::string description;
  std::string model;
  std::string model_hash;  // of the original; empty in records of earlier versions
  std::vector<RecordedTask> tasks;
  std::vector<RecordedRow> rows;  // the original first
  nlohmann::json metrics;         // metrics.json as it is

  const RecordedRow& original() const { return rows.front(); }
  const RecordedTask* task(const std::string& task_name) const;  // nullptr when absent
};

// Reads FOLDER/metrics.json. Throws Error naming the file when it is absent, no record of an experiment, or holds no
// original.
RecordedRun read_recorded_run(const std::filesystem::path& folder);

// What is compared of a task, one number a model.
struct Metric {
  enum class Kind { perplexity, kl, accuracy } kind = Kind::perplexity;
  std::string task;
  std::string title;  // "wikitext2 KL mean", "mmlu"
  bool lower_is_better() const { return kind != Kind::accuracy; }
};
std::vector<Metric> metrics_of(const RecordedTask& task);
// The number of a row; NaN where there is none (the original's divergence from itself).
double metric_value(const RecordedRow& row, const Metric& metric);
// The same for each sequence of a text task, whose mean (for a protocol that averages log-likelihoods: the mean of
// their logarithms) it is; empty where the record has none.
std::vector<double> metric_per_sequence(const RecordedRow& row, const Metric& metric);
// The standard error of metric_value: binomial for accuracy, else from the spread over sequences (which are taken as
// independent); 0 where the record has none.
double metric_error(const RecordedRow& row, const Metric& metric);
std::string metric_text(double value, const Metric& metric);  // "36.00", "0.2857", "45.10 %", "-"

// The answers behind a row's accuracy; no answers where the files were not kept.
AnswerFile recorded_answers(const RecordedRun& run, const RecordedRow& row, const std::string& task);

}  // namespace lcomp
