#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "report/recorded_run.h"
#include "report/result_table.h"

namespace lcomp {

// How one model compares with the best model of its size group in one metric.
struct MetricStanding {
  double value = 0;  // NaN: the metric is not defined for this model
  bool best = false;
  // Result of a paired test against the best model: the paired bootstrap over sequences (paired_bootstrap.h) for text
  // metrics, McNemar's exact test over questions for accuracy. untested: the records lack values per sequence or
  // answers.
  enum class Verdict { untested, same, worse } verdict = Verdict::untested;
  double difference = 0;     // value - best value; difference of logarithms where log-likelihoods are averaged
  double low = 0, high = 0;  // 95 % confidence interval of the difference; text metrics only
  double p_value = 1;
  std::size_t pairs = 0;  // sequences, or questions that both models answered
};

struct ComparedModel {
  std::string name;  // method; with the run's name where several runs are compared
  std::string size;
  std::uint64_t bytes = 0;
  double bits_per_weight = 0;
  double larger_percent = 0;              // how much larger than the smallest model of its group
  std::vector<MetricStanding> standings;  // [metrics]
};

// Models of about the same size.
struct SizeGroup {
  std::vector<ComparedModel> models;  // by ascending size
};

struct RunComparison {
  std::vector<Metric> metrics;
  std::vector<std::string> descriptions;  // one per task
  ComparedModel original;
  std::vector<SizeGroup> groups;   // by descending size; groups of one model are left out
  std::vector<std::string> notes;  // rows that were left out, and sizes that differ by more than 0.5 %
};

// Groups the models of all runs by their number of bytes: the largest of a group exceeds the smallest by at most the
// fraction `within` (0.05: 5 %). Throws Error when the runs have no task in common, or when their uncompressed models,
// protocols or evaluation data differ; the error says in what.
RunComparison compare_runs(const std::vector<RecordedRun>& runs, double within);

// One table per group. In Markdown and LaTeX the best value of each column is bold, and = marks values that are not
// significantly worse.
std::vector<ResultTable> comparison_tables(const RunComparison& comparison);
std::string comparison_markdown(const RunComparison& comparison);  // tables, legend, notes, differences
std::string comparison_csv(const RunComparison& comparison);       // all groups in one table
std::string comparison_latex(const RunComparison& comparison);     // booktabs
nlohmann::json to_json(const RunComparison& comparison);

}  // namespace lcomp
