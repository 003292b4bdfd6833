#include "report/recorded_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "report/metric_text.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

RecordedTask read_task(const nlohmann::json& json) {
  RecordedTask task;
  task.name = json.at("name").get<std::string>();
  task.description = json.at("description").get<std::string>();
  task.key = json.value("key", "");
  task.kl = json.value("kl", false);
  task.choices = json.value("choices", false);
  task.protocol = json.at("protocol");
  return task;
}

RecordedRow read_row(const nlohmann::json& json) {
  RecordedRow row;
  row.method = json.at("method").get<std::string>();
  row.size = json.at("size").get<std::string>();
  row.cell = json.value("cell", "");
  row.bytes = json.at("bytes").get<std::uint64_t>();
  row.parameters = json.value("parameters", std::uint64_t{0});
  row.bits_per_weight = json.at("bits_per_weight").get<double>();
  row.scores = json.at("scores");
  return row;
}

}  // namespace

const RecordedTask* RecordedRun::task(const std::string& task_name) const {
  const auto found =
      std::find_if(tasks.begin(), tasks.end(), [&](const RecordedTask& entry) { return entry.name == task_name; });
  return found == tasks.end() ? nullptr : &*found;
}

RecordedRun read_recorded_run(const fs::path& folder) {
  const fs::path file = folder / "metrics.json";
  if (!fs::exists(file)) {
    throw Error({folder.string(), "no metrics.json", "the folder of results of lcomp run", ""});
  }
  RecordedRun run;
  run.folder = folder;
  run.metrics = parse_json_file(file);
  try {
    const nlohmann::json& json = run.metrics;
    run.name = json.at("name").get<std::string>();
    run.description = json.value("description", "");
    run.model = json.at("model").get<std::string>();
    run.model_hash = json.value("model_hash", "");
    for (const auto& task : json.at("tasks")) run.tasks.push_back(read_task(task));
    for (const auto& row : json.at("rows")) run.rows.push_back(read_row(row));
    for (const auto& row : run.rows) {
      for (const auto& task : run.tasks) row.scores.at(task.name);
    }
  } catch (const nlohmann::json::exception& error) {
    throw Error({file.string(), error.what(), "what lcomp run writes", ""});
  }
  if (run.rows.empty() || !run.original().is_original()) {
    throw Error({file.string(), "no scores of the original yet", "a run that has finished it", "run it again"});
  }
  return run;
}

std::vector<Metric> metrics_of(const RecordedTask& task) {
  if (task.choices) return {{Metric::Kind::accuracy, task.name, task.name}};
  std::vector<Metric> metrics = {{Metric::Kind::perplexity, task.name, task.name + " perplexity"}};
  if (task.kl) metrics.push_back({Metric::Kind::kl, task.name, task.name + " KL mean"});
  return metrics;
}

double metric_value(const RecordedRow& row, const Metric& metric) {
  const nlohmann::json& score = row.scores.at(metric.task);
  switch (metric.kind) {
    case Metric::Kind::perplexity:
      return score.at("perplexity").at("perplexity").get<double>();
    case Metric::Kind::kl:
      return score.contains("kl") ? score.at("kl").at("kl_mean").get<double>()
                                  : std::numeric_limits<double>::quiet_NaN();
    case Metric::Kind::accuracy:
      return score.at("choices").at("accuracy").get<double>();
  }
  return 0;
}

std::vector<double> metric_per_sequence(const RecordedRow& row, const Metric& metric) {
  const nlohmann::json& score = row.scores.at(metric.task);
  std::vector<double> values;
  if (metric.kind == Metric::Kind::kl) {
    if (score.contains("kl")) values = score.at("kl").value("kl_per_sequence", values);
  } else if (metric.kind == Metric::Kind::perplexity) {
    const nlohmann::json& perplexity = score.at("perplexity");
    values = perplexity.value("nll_per_sequence", values);
    // The mean of the sequences' perplexities, or the exponential of the mean log-likelihood?
    if (perplexity.at("perplexity") != perplexity.at("perplexity_of_mean_nll")) {
      for (double& value : values) value = std::exp(value);
    }
  }
  return values;
}

double metric_error(const RecordedRow& row, const Metric& metric) {
  if (metric.kind == Metric::Kind::accuracy) {
    return row.scores.at(metric.task).at("choices").value("standard_error", 0.0);
  }
  const std::vector<double> values = metric_per_sequence(row, metric);
  if (values.size() < 2) return 0;
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double error = std::sqrt(squares / (n - 1) / n);
  if (metric.kind == Metric::Kind::kl) return error;
  const nlohmann::json& perplexity = row.scores.at(metric.task).at("perplexity");
  const bool of_mean = perplexity.at("perplexity") == perplexity.at("perplexity_of_mean_nll");
  return of_mean ? error * metric_value(row, metric) : error;  // d exp(x) = exp(x) dx
}

std::string metric_text(double value, const Metric& metric) {
  if (std::isnan(value)) return "-";
  switch (metric.kind) {
    case Metric::Kind::perplexity:
      return perplexity_text(value);
    case Metric::Kind::kl:
      return divergence_text(value);
    case Metric::Kind::accuracy:
      return accuracy_text(value);
  }
  return {};
}

AnswerFile recorded_answers(const RecordedRun& run, const RecordedRow& row, const std::string& task) {
  const nlohmann::json& score = row.scores.at(task);
  const fs::path file = run.folder / "cells" / row.cell / score.value("answers", "");
  if (!score.contains("answers") || !fs::exists(file)) return {};
  return read_answer_file(file);
}

}  // namespace lcomp
