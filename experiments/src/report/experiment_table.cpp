#include "report/experiment_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/metric_text.h"

namespace lcomp {

ResultTable experiment_table(const nlohmann::json& metrics) {
  ResultTable table;
  table.columns = {"method", "size", "bytes", "bits per weight", "ratio"};
  table.numeric = {false, false, true, true, true};
  const auto add_column = [&table](const std::string& title) {
    table.columns.push_back(title);
    table.numeric.push_back(true);
  };
  for (const auto& task : metrics.at("tasks")) {
    const auto name = task.at("name").get<std::string>();
    if (task.value("choices", false)) {
      add_column(name);
      add_column("error");
      add_column("flips");
      add_column("p");
      continue;
    }
    add_column(name + " perplexity");
    if (!task.at("kl").get<bool>()) continue;
    add_column(name + " KL mean");
    add_column("median");
    add_column("p99");
    add_column("top-1");
  }
  add_column("minutes");
  for (const auto& row : metrics.at("rows")) {
    std::vector<std::string> cells = {row.at("method"), row.at("size"),
                                      fmt::format("{}", row.at("bytes").get<std::uint64_t>()),
                                      fmt::format("{:.3f}", row.at("bits_per_weight").get<double>()),
                                      fmt::format("{:.2f}", row.at("ratio").get<double>())};
    for (const auto& task : metrics.at("tasks")) {
      const auto& score = row.at("scores").at(task.at("name").get<std::string>());
      if (task.value("choices", false)) {
        const auto& choices = score.at("choices");
        cells.push_back(accuracy_text(choices.at("accuracy").get<double>()));
        cells.push_back(fmt::format("{:.2f}", 100 * choices.at("standard_error").get<double>()));
        if (!score.contains("against_original")) {  // the original
          cells.insert(cells.end(), 2, "-");
          continue;
        }
        const auto& against = score.at("against_original");
        cells.push_back(fmt::format("{}", against.at("flips").get<std::size_t>()));
        cells.push_back(fmt::format("{:.2g}", against.at("p_value").get<double>()));
        continue;
      }
      cells.push_back(perplexity_text(score.at("perplexity").at("perplexity").get<double>()));
      if (!task.at("kl").get<bool>()) continue;
      if (!score.contains("kl")) {  // the original
        cells.insert(cells.end(), 4, "-");
        continue;
      }
      const auto& kl = score.at("kl");
      for (const char* key : {"kl_mean", "kl_median", "kl_p99"}) {
        cells.push_back(divergence_text(kl.at(key).get<double>()));
      }
      cells.push_back(fmt::format("{:.1f} %", 100 * kl.at("top1_agreement").get<double>()));
    }
    cells.push_back(row.contains("seconds") ? fmt::format("{:.1f}", row.at("seconds").get<double>() / 60) : "-");
    table.rows.push_back(std::move(cells));
  }
  return table;
}

std::string experiment_heading(const nlohmann::json& metrics) {
  std::string text = fmt::format("# {}\n\n", metrics.at("name").get<std::string>());
  const auto description = metrics.at("description").get<std::string>();
  if (!description.empty()) text += description + ".\n\n";
  text += fmt::format(
      "Model: {}. Bytes are all payload bytes: codes, scales, zero points, embedding, head, norms. "
      "Minutes: of compression, calibration included.\n\n",
      metrics.at("model").get<std::string>());
  for (const auto& task : metrics.at("tasks")) {
    text += fmt::format("- {}\n", task_line(task.at("name"), task.at("description")));
  }
  const bool asks = std::any_of(metrics.at("tasks").begin(), metrics.at("tasks").end(),
                                [](const nlohmann::json& task) { return task.value("choices", false); });
  if (asks) {
    text +=
        "\nQuestions: accuracy over all of them with its binomial standard error, answers that differ from the "
        "original's, and p of no difference in accuracy (McNemar's exact test).\n";
  }
  return text + "\n";
}

std::string task_line(const std::string& name, const std::string& description) {
  return description.starts_with(name) ? description : name + ": " + description;
}

}  // namespace lcomp
