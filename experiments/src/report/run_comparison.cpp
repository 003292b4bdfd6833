#include "report/run_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "lcomp/core/error.h"
#include "lcomp/eval/answer_comparison.h"
#include "lcomp/eval/paired_bootstrap.h"

namespace lcomp {
namespace {

constexpr double kEqualBytes = 0.5;  // percent: sizes that differ by more are said to
constexpr double kSignificance = 0.05;

std::string differing_keys(const nlohmann::json& a, const nlohmann::json& b) {
  std::set<std::string> keys;
  for (const auto* object : {&a, &b}) {
    for (const auto& entry : object->items()) keys.insert(entry.key());
  }
  std::string text;
  for (const std::string& key : keys) {
    const nlohmann::json left = a.value(key, nlohmann::json()), right = b.value(key, nlohmann::json());
    if (left == right) continue;
    text += fmt::format("{}{} {} and {}", text.empty() ? "" : ", ", key, left.dump(), right.dump());
  }
  return text;
}

[[noreturn]] void refuse(const RecordedRun& a, const RecordedRun& b, const std::string& found,
                         const std::string& advice = "") {
  throw Error({fmt::format("{} and {}", a.folder.string(), b.folder.string()), found,
               "runs that scored the same original on the same texts", advice});
}

// Scores of the original are as good as a hash where an earlier version wrote none.
bool same_original_scores(const RecordedRun& a, const RecordedRun& b, const Metric& metric) {
  const double left = metric_value(a.original(), metric), right = metric_value(b.original(), metric);
  return std::isnan(left) || std::abs(left - right) <= 1e-3 * std::abs(left);
}

void require_comparable(const RecordedRun& a, const RecordedRun& b) {
  const bool hashes = !a.model_hash.empty() && !b.model_hash.empty();
  if (hashes ? a.model_hash != b.model_hash
             : a.original().bytes != b.original().bytes || a.original().parameters != b.original().parameters) {
    refuse(a, b,
           fmt::format("different originals: {} ({} bytes) and {} ({} bytes)", a.model, a.original().bytes, b.model,
                       b.original().bytes));
  }
  bool together = false;
  for (const RecordedTask& task : a.tasks) {
    const RecordedTask* other = b.task(task.name);
    if (other == nullptr) continue;
    together = true;
    if (task.protocol != other->protocol || task.kl != other->kl) {
      refuse(a, b,
             fmt::format("different protocols of {}: {}", task.name,
                         task.kl != other->kl ? "with and without KL" : differing_keys(task.protocol, other->protocol)),
             "give tasks with different protocols different names");
    }
    const bool keys = !task.key.empty() && !other->key.empty();
    if (keys && task.key == other->key) continue;
    const auto compute = [&](const RecordedRun& run) {
      return run.original().scores.at(task.name).value("compute", "");
    };
    if (compute(a) != compute(b)) {
      refuse(a, b, fmt::format("different products in {}: {} and {}", task.name, compute(a), compute(b)));
    }
    for (const Metric& metric : metrics_of(task)) {
      if (!keys && same_original_scores(a, b, metric)) continue;
      refuse(a, b, fmt::format("different texts or tokenizers in {}", task.name));
    }
  }
  if (!together) refuse(a, b, "no task of the same name");
}

struct Candidate {
  const RecordedRun* run = nullptr;
  const RecordedRow* row = nullptr;
};

ComparedModel describe(const Candidate& candidate, bool with_run, const std::vector<Metric>& metrics) {
  ComparedModel model;
  model.name = with_run ? candidate.run->name + ": " + candidate.row->method : candidate.row->method;
  model.size = candidate.row->size;
  model.bytes = candidate.row->bytes;
  model.bits_per_weight = candidate.row->bits_per_weight;
  for (const Metric& metric : metrics) {
    MetricStanding standing;
    standing.value = metric_value(*candidate.row, metric);
    model.standings.push_back(standing);
  }
  return model;
}

void test_against(const Candidate& best, const Candidate& other, const Metric& metric, MetricStanding& standing) {
  if (metric.kind == Metric::Kind::accuracy) {
    const AnswerFile first = recorded_answers(*other.run, *other.row, metric.task);
    const AnswerFile second = recorded_answers(*best.run, *best.row, metric.task);
    if (first.answers.empty() || second.answers.empty()) return;
    const AnswerComparison comparison = compare_answers(first, second);
    standing.p_value = comparison.p_value;
    standing.pairs = comparison.questions;
    standing.verdict =
        comparison.p_value > kSignificance ? MetricStanding::Verdict::same : MetricStanding::Verdict::worse;
    return;
  }
  const std::vector<double> first = metric_per_sequence(*other.row, metric);
  const std::vector<double> second = metric_per_sequence(*best.row, metric);
  if (first.size() != second.size()) return;
  const auto difference = paired_bootstrap(first, second);
  if (!difference) return;
  standing.difference = difference->mean;
  standing.low = difference->low;
  standing.high = difference->high;
  standing.p_value = difference->p_value;
  standing.pairs = difference->pairs;
  standing.verdict = difference->distinguishable() ? MetricStanding::Verdict::worse : MetricStanding::Verdict::same;
}

SizeGroup compare_group(const std::vector<Candidate>& candidates, bool with_run, const std::vector<Metric>& metrics,
                        std::vector<std::string>& notes) {
  SizeGroup group;
  for (const Candidate& candidate : candidates) group.models.push_back(describe(candidate, with_run, metrics));
  const auto smallest = static_cast<double>(group.models.front().bytes);
  for (ComparedModel& model : group.models) {
    model.larger_percent = 100 * (static_cast<double>(model.bytes) / smallest - 1);
  }
  const ComparedModel& largest = group.models.back();
  if (largest.larger_percent > kEqualBytes) {
    notes.push_back(fmt::format("sizes from {} to {} bytes differ by {:.1f} %: {} is the smallest, {} the largest",
                                group.models.front().bytes, largest.bytes, largest.larger_percent,
                                group.models.front().name, largest.name));
  }
  for (std::size_t m = 0; m < metrics.size(); ++m) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < group.models.size(); ++i) {
      const double value = group.models[i].standings[m].value, so_far = group.models[best].standings[m].value;
      if (metrics[m].lower_is_better() ? value < so_far : value > so_far) best = i;
    }
    const double best_value = group.models[best].standings[m].value;
    for (std::size_t i = 0; i < group.models.size(); ++i) {
      MetricStanding& standing = group.models[i].standings[m];
      standing.best = standing.value == best_value;
      standing.difference = standing.value - best_value;
      if (i != best) test_against(candidates[best], candidates[i], metrics[m], standing);
    }
  }
  return group;
}

}  // namespace

RunComparison compare_runs(const std::vector<RecordedRun>& runs, double within) {
  for (const RecordedRun& run : runs) require_comparable(runs.front(), run);
  RunComparison comparison;
  for (const RecordedTask& task : runs.front().tasks) {
    const bool everywhere =
        std::all_of(runs.begin(), runs.end(), [&](const RecordedRun& run) { return run.task(task.name) != nullptr; });
    if (!everywhere) {
      comparison.notes.push_back(task.name + " is left out: not every run has it");
      continue;
    }
    comparison.descriptions.push_back(task.description);
    for (Metric& metric : metrics_of(task)) comparison.metrics.push_back(std::move(metric));
  }
  if (comparison.metrics.empty()) {
    throw Error({runs.front().folder.string(), "no task that all runs have", "runs that scored the same texts", ""});
  }
  const bool with_run = runs.size() > 1;
  std::vector<Candidate> candidates;
  for (const RecordedRun& run : runs) {
    for (const RecordedRow& row : run.rows) {
      if (!row.is_original()) candidates.push_back({&run, &row});
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.row->bytes < b.row->bytes; });
  comparison.original = describe({&runs.front(), &runs.front().original()}, false, comparison.metrics);
  for (std::size_t first = 0, end = 0; first < candidates.size(); first = end) {
    const double largest = static_cast<double>(candidates[first].row->bytes) * (1 + within);
    while (end < candidates.size() && static_cast<double>(candidates[end].row->bytes) <= largest) ++end;
    const std::vector<Candidate> group(candidates.begin() + static_cast<std::ptrdiff_t>(first),
                                       candidates.begin() + static_cast<std::ptrdiff_t>(end));
    if (group.size() == 1) {
      const ComparedModel alone = describe(group.front(), with_run, {});
      comparison.notes.push_back(
          fmt::format("{}, {} ({} bytes) is left out: nothing else of its size", alone.name, alone.size, alone.bytes));
      continue;
    }
    comparison.groups.push_back(compare_group(group, with_run, comparison.metrics, comparison.notes));
  }
  std::reverse(comparison.groups.begin(), comparison.groups.end());
  return comparison;
}

}  // namespace lcomp
