#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/eval/answer_file.h"

namespace lcomp {

// One row of a finished experiment: the uncompressed model, or one method at one size.
struct RecordedRow {
  std::string method;  // "original" for the uncompressed model
  std::string size;
  std::string cell;  // name of the row's folder under cells/
  std::uint64_t bytes = 0, parameters = 0;
  double bits_per_weight = 0;
  nlohmann::json scores;  // one object per task, keyed by the task's name

  bool is_original() const { return method == "original"; }
};

struct RecordedTask {
  std::string name;
  std::string description;
  std::string key;  // hash of the scored data and the protocol; empty in records of earlier versions
  bool kl = false, choices = false;
  nlohmann::json protocol;
};

// The results that `lcomp run` wrote to a folder.
struct RecordedRun {
  std::filesystem::path folder;
  std::string name;
  std::string description;
  std::string model;
  std::string model_hash;  // content hash of the uncompressed model; empty in records of earlier versions
  std::vector<RecordedTask> tasks;
  std::vector<RecordedRow> rows;  // the uncompressed model first
  nlohmann::json metrics;         // metrics.json, unchanged

  const RecordedRow& original() const { return rows.front(); }
  const RecordedTask* task(const std::string& task_name) const;  // nullptr: no such task
};

// Reads FOLDER/metrics.json. Throws Error naming the file when it is absent, is not the record of an experiment, or has
// no row for the uncompressed model.
RecordedRun read_recorded_run(const std::filesystem::path& folder);

// A quantity by which models are compared on a task: one number per model.
struct Metric {
  enum class Kind { perplexity, kl, accuracy } kind = Kind::perplexity;
  std::string task;
  std::string title;  // "wikitext2 KL mean", "mmlu"
  bool lower_is_better() const { return kind != Kind::accuracy; }
};
// The metrics of a task: accuracy of a choice task; perplexity of a text task, and mean KL divergence where measured.
std::vector<Metric> metrics_of(const RecordedTask& task);
// Value of the metric for one row. NaN where it is not defined: the KL divergence of the uncompressed model from
// itself.
double metric_value(const RecordedRow& row, const Metric& metric);
// Values of a text metric, one per sequence in the order of the data; empty where the record holds none. By metric:
//   KL divergence, perplexity averaged over sequences (C4): the metric itself; metric_value() is their mean
//   perplexity = exp(mean NLL) (WikiText-2): mean negative log-likelihoods; metric_value() is exp of their mean
std::vector<double> metric_per_sequence(const RecordedRow& row, const Metric& metric);
// Standard error of metric_value(): binomial for accuracy, sqrt(p (1 - p) / n); for text metrics from the sample
// variance over sequences, which are taken as independent. 0 where the record does not allow an estimate.
double metric_error(const RecordedRow& row, const Metric& metric);
std::string metric_text(double value, const Metric& metric);  // "36.00", "0.2857", "45.10 %", "-"

// The model's answers to the questions of a choice task. Holds no answers where the answer files were not kept.
AnswerFile recorded_answers(const RecordedRun& run, const RecordedRow& row, const std::string& task);

}  // namespace lcomp
