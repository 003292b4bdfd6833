#include <fmt/format.h>

#include <cmath>

#include "report/run_comparison.h"

namespace lcomp {
namespace {

constexpr const char* kLegend =
    "Bold: the best of its column at this size. =: can't be told from it at the 5 % level (paired bootstrap over texts "
    "or "
    "windows; McNemar's exact test over questions). ?: not tested, fewer than 5 texts or answers that were not kept.";

std::string size_difference(const ComparedModel& model) {
  return model.larger_percent > 0 ? fmt::format("+{:.2f} %", model.larger_percent) : "";
}

std::string mark(const MetricStanding& standing) {
  if (standing.best || std::isnan(standing.value)) return "";
  switch (standing.verdict) {
    case MetricStanding::Verdict::untested:
      return " ?";
    case MetricStanding::Verdict::same:
      return " =";
    case MetricStanding::Verdict::worse:
      return "";
  }
  return "";
}

bool is_tested(const MetricStanding& standing) {
  return !standing.best && standing.verdict != MetricStanding::Verdict::untested;
}

std::string verdict_name(const MetricStanding& standing) {
  if (standing.best) return "best";
  switch (standing.verdict) {
    case MetricStanding::Verdict::untested:
      return "untested";
    case MetricStanding::Verdict::same:
      return "same";
    case MetricStanding::Verdict::worse:
      return "worse";
  }
  return "";
}

ResultTable group_table(const RunComparison& comparison, const SizeGroup& group) {
  ResultTable table;
  table.columns = {"method", "bytes", "larger by", "bits per weight"};
  table.numeric = {false, true, true, true};
  for (const Metric& metric : comparison.metrics) {
    table.columns.push_back(metric.title);
    table.numeric.push_back(true);
  }
  const auto add = [&](const ComparedModel& model, bool compared) {
    std::vector<std::string> cells = {model.name, fmt::format("{}", model.bytes),
                                      compared ? size_difference(model) : "",
                                      fmt::format("{:.3f}", model.bits_per_weight)};
    std::vector<bool> strong(cells.size(), false);
    for (std::size_t m = 0; m < comparison.metrics.size(); ++m) {
      const MetricStanding& standing = model.standings[m];
      cells.push_back(metric_text(standing.value, comparison.metrics[m]) + (compared ? mark(standing) : ""));
      strong.push_back(compared && standing.best);
    }
    table.rows.push_back(std::move(cells));
    table.strong.push_back(std::move(strong));
  };
  add(comparison.original, false);
  for (const ComparedModel& model : group.models) add(model, true);
  return table;
}

ResultTable difference_table(const RunComparison& comparison, const SizeGroup& group) {
  ResultTable table;
  table.columns = {"method", "metric", "difference from the best", "95 % interval", "p", "pairs"};
  table.numeric = {false, false, true, true, true, true};
  for (std::size_t m = 0; m < comparison.metrics.size(); ++m) {
    for (const ComparedModel& model : group.models) {
      const MetricStanding& standing = model.standings[m];
      if (!is_tested(standing)) continue;
      const bool texts = comparison.metrics[m].kind != Metric::Kind::accuracy;
      table.rows.push_back(
          {model.name, comparison.metrics[m].title,
           texts ? fmt::format("{:+.4g}", standing.difference) : fmt::format("{:+.2f} %", 100 * standing.difference),
           texts ? fmt::format("{:.4g} to {:.4g}", standing.low, standing.high) : "-",
           fmt::format("{:.2g}", standing.p_value), fmt::format("{}", standing.pairs)});
    }
  }
  return table;
}

std::string heading(const SizeGroup& group) {
  const std::uint64_t low = group.models.front().bytes, high = group.models.back().bytes;
  return low == high ? fmt::format("{} bytes", low) : fmt::format("{} to {} bytes", low, high);
}

nlohmann::json number_or_null(double value) { return std::isnan(value) ? nlohmann::json() : nlohmann::json(value); }

nlohmann::json to_json(const ComparedModel& model, const std::vector<Metric>& metrics, bool compared) {
  nlohmann::json json = {
      {"name", model.name}, {"size", model.size}, {"bytes", model.bytes}, {"bits_per_weight", model.bits_per_weight}};
  if (compared) json["larger_percent"] = model.larger_percent;
  for (std::size_t m = 0; m < metrics.size(); ++m) {
    const MetricStanding& standing = model.standings[m];
    nlohmann::json entry = {{"value", number_or_null(standing.value)}};
    if (compared) {
      entry["standing"] = verdict_name(standing);
      if (is_tested(standing)) {
        entry["difference"] = standing.difference;
        entry["p_value"] = standing.p_value;
        entry["pairs"] = standing.pairs;
        if (metrics[m].kind != Metric::Kind::accuracy) entry["interval"] = {standing.low, standing.high};
      }
    }
    json["metrics"][metrics[m].title] = std::move(entry);
  }
  return json;
}

}  // namespace

std::vector<ResultTable> comparison_tables(const RunComparison& comparison) {
  std::vector<ResultTable> tables;
  for (const SizeGroup& group : comparison.groups) tables.push_back(group_table(comparison, group));
  return tables;
}

std::string comparison_markdown(const RunComparison& comparison) {
  std::string text;
  for (const std::string& description : comparison.descriptions) text += "- " + description + "\n";
  text += fmt::format("\n{}\n", kLegend);
  const std::vector<ResultTable> tables = comparison_tables(comparison);
  for (std::size_t g = 0; g < tables.size(); ++g) {
    text += fmt::format("\n## {}\n\n{}", heading(comparison.groups[g]), to_markdown(tables[g]));
  }
  if (!comparison.notes.empty()) text += "\n## Notes\n\n";
  for (const std::string& note : comparison.notes) text += "- " + note + "\n";
  text +=
      "\n## Differences from the best\n\nOf perplexities that average log-likelihoods: of their logarithms, in nats a "
      "token.\n";
  for (const SizeGroup& group : comparison.groups) {
    const ResultTable table = difference_table(comparison, group);
    if (!table.rows.empty()) text += fmt::format("\n### {}\n\n{}", heading(group), to_markdown(table));
  }
  return text;
}

std::string comparison_csv(const RunComparison& comparison) {
  ResultTable table;
  table.columns = {"group", "method", "size", "bytes", "larger_percent", "bits_per_weight"};
  for (const Metric& metric : comparison.metrics) {
    for (const char* part : {"", " standing", " difference", " low", " high", " p", " pairs"}) {
      table.columns.push_back(metric.title + part);
    }
  }
  for (std::size_t g = 0; g < comparison.groups.size(); ++g) {
    for (const ComparedModel& model : comparison.groups[g].models) {
      std::vector<std::string> cells = {fmt::format("{}", g + 1),
                                        model.name,
                                        model.size,
                                        fmt::format("{}", model.bytes),
                                        fmt::format("{:.4f}", model.larger_percent),
                                        fmt::format("{}", model.bits_per_weight)};
      for (std::size_t m = 0; m < comparison.metrics.size(); ++m) {
        const MetricStanding& standing = model.standings[m];
        const bool tested = is_tested(standing);
        const bool texts = comparison.metrics[m].kind != Metric::Kind::accuracy;
        const auto cell = [&](bool shown, double value) {
          cells.push_back(shown && !std::isnan(value) ? fmt::format("{}", value) : "");
        };
        cell(true, standing.value);
        cells.push_back(verdict_name(standing));
        cell(tested, standing.difference);
        cell(tested && texts, standing.low);
        cell(tested && texts, standing.high);
        cell(tested, standing.p_value);
        cells.push_back(tested ? fmt::format("{}", standing.pairs) : "");
      }
      table.rows.push_back(std::move(cells));
    }
  }
  return to_csv(table);
}

std::string comparison_latex(const RunComparison& comparison) {
  std::string text = "% needs \\usepackage{booktabs}\n";
  const std::vector<ResultTable> tables = comparison_tables(comparison);
  for (std::size_t g = 0; g < tables.size(); ++g) {
    text += to_latex(tables[g], fmt::format("{}. {}", heading(comparison.groups[g]), kLegend)) + "\n";
  }
  return text;
}

nlohmann::json to_json(const RunComparison& comparison) {
  nlohmann::json groups = nlohmann::json::array();
  for (const SizeGroup& group : comparison.groups) {
    nlohmann::json models = nlohmann::json::array();
    for (const ComparedModel& model : group.models) models.push_back(to_json(model, comparison.metrics, true));
    groups.push_back({{"models", models}});
  }
  return {{"tasks", comparison.descriptions},
          {"original", to_json(comparison.original, comparison.metrics, false)},
          {"groups", groups},
          {"notes", comparison.notes}};
}

}  // namespace lcomp
