#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "report/recorded_run.h"
#include "report/result_table.h"

namespace lcomp {

// How a model stands against the best of its size in one metric.
struct MetricStanding {
  double value = 0;  // NaN: none
  bool best = false;
  // Against the best, of which something must be known: the texts' scores (paired_bootstrap.h), or both models' answers
  // (McNemar's exact test). Unknown: not tested.
  enum class Verdict { untested, same, worse } verdict = Verdict::untested;
  double difference = 0;     // value - best value; of perplexities that average log-likelihoods, their logarithms'
  double low = 0, high = 0;  // its 95 % interval, for texts
  double p_value = 1;
  std::size_t pairs = 0;  // texts, or questions that both answered
};

struct ComparedModel {
  std::string name;  // the method, with the run's name where several runs are compared
  std::string size;
  std::uint64_t bytes = 0;
  double bits_per_weight = 0;
  double larger_percent = 0;              // than the smallest of its group
  std::vector<MetricStanding> standings;  // [metrics]
};

// Models of about the same size.
struct SizeGroup {
  std::vector<ComparedModel> models;  // by ascending size
};

struct RunComparison {
  std::vector<Metric> metrics;
  std::vector<std::string> descriptions;  // of the tasks
  ComparedModel original;
  std::vector<SizeGroup> groups;   // by descending size; those of one model are left out
  std::vector<std::string> notes;  // what was left out, sizes that differ by more than 0.5 %
};

// Puts models of all runs side by side where their bytes are equal: in groups whose largest is at most `within` (0.05:
// 5 %) larger than its smallest. Throws Error saying what differs when the runs' originals, protocols or texts do, or
// when they have no task in common.
RunComparison compare_runs(const std::vector<RecordedRun>& runs, double within);

// A table a group. In Markdown and LaTeX the best of each column is bold, and = marks what can't be told from it.
std::vector<ResultTable> comparison_tables(const RunComparison& comparison);
std::string comparison_markdown(const RunComparison& comparison);  // tables, legend, notes, differences
std::string comparison_csv(const RunComparison& comparison);       // all groups in one table
std::string comparison_latex(const RunComparison& comparison);     // booktabs
nlohmann::json to_json(const RunComparison& comparison);

}  // namespace lcomp
