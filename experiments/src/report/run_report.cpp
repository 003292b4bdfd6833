#include "report/run_report.h"

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "report/experiment_table.h"
#include "report/report_page.h"
#include "report/run_comparison.h"
#include "report/run_figures.h"
#include "report/svg_figure.h"

namespace lcomp {
namespace {

constexpr double kWithin = 0.05;  // as lcomp compare's default

std::string html_table(const ResultTable& table, bool sortable) {
  std::string text =
      fmt::format("<div class=\"wide\" tabindex=\"0\"><table{}>\n<thead><tr>", sortable ? " class=\"sortable\"" : "");
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    text += fmt::format("<th scope=\"col\"{}>{}</th>", table.numeric[c] ? "" : " class=\"text\"",
                        escape_html(table.columns[c]));
  }
  text += "</tr></thead>\n<tbody>\n";
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    text += "<tr>";
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      const bool best = !table.strong.empty() && table.strong[r][c];
      text += fmt::format("<td{}>{}</td>",
                          best               ? " class=\"best\""
                          : table.numeric[c] ? ""
                                             : " class=\"text\"",
                          escape_html(table.rows[r][c]));
    }
    text += "</tr>\n";
  }
  return text + "</tbody></table></div>\n";
}

std::string html_figure(const Figure& figure) {
  std::string text = fmt::format("<figure>\n<figcaption>{}</figcaption>\n{}<div class=\"charts\">\n",
                                 escape_html(figure.title), html_legend(figure));
  for (const FigurePanel& panel : figure.panels) text += svg_panel(panel);
  return text + "</div>\n</figure>\n";
}

// Figures of one panel share a legend and stand side by side.
std::string loss_figures(const std::vector<Figure>& figures) {
  if (figures.empty()) return "";
  Figure all;
  all.title = "Each line is a method; lower is better but for accuracy. The dotted line is the original.";
  for (const Figure& figure : figures) {
    for (FigurePanel panel : figure.panels) {
      panel.title = figure.title;
      all.panels.push_back(std::move(panel));
    }
  }
  return "<h2 id=\"losses\">Loss against size</h2>\n" + html_figure(all);
}

std::string comparison_part(const RecordedRun& run) {
  const RunComparison comparison = compare_runs({run}, kWithin);
  if (comparison.groups.empty()) return "";
  std::string text =
      "<h2 id=\"equal\">At equal bytes</h2>\n<p class=\"faint\">Marked: the best of its column. =: can't be told from "
      "it at "
      "the 5 % level (paired bootstrap over texts or windows; McNemar's exact test over questions). ?: not tested, "
      "fewer "
      "than 5 texts or answers that were not kept.</p>\n";
  const std::vector<ResultTable> tables = comparison_tables(comparison);
  for (std::size_t g = 0; g < tables.size(); ++g) {
    const auto& models = comparison.groups[g].models;
    text +=
        fmt::format("<h3>{:.1f} MB, {:.2f} bits per weight</h3>\n{}", static_cast<double>(models.front().bytes) / 1e6,
                    models.front().bits_per_weight, html_table(tables[g], true));
  }
  return text;
}

std::string bits_part(const RunFigures& figures) {
  if (figures.bits.empty()) return "";
  std::string text =
      "<h2 id=\"bits\">Where the bits are</h2>\n<p class=\"faint\">By size: mean bits per weight of each kind of "
      "component by "
      "layer; and how many of the weights are in columns, and in rows, of so many bits, everything counted.</p>\n";
  for (std::size_t f = 0; f < figures.bits.size(); ++f) {
    const std::string& title = figures.bits[f].title;
    text += fmt::format("<details{}><summary>{}</summary>\n{}</details>\n", f == 0 ? " open" : "",
                        escape_html(title.substr(0, title.rfind(':'))), html_figure(figures.bits[f]));
  }
  return text;
}

std::string details(const std::string& title, const std::string& content) {
  return fmt::format("<details><summary>{}</summary>\n<pre>{}</pre></details>\n", title, escape_html(content));
}

}  // namespace

std::string run_report(const RecordedRun& run) {
  const RunFigures figures = run_figures(run);
  std::string text = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, "
      "initial-scale=1\">\n<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n",
      escape_html(run.name), report_style, escape_html(run.name));
  if (!run.description.empty()) text += fmt::format("<p>{}.</p>\n", escape_html(run.description));
  text += fmt::format(
      "<p class=\"faint\">Model: {}. Bytes are all payload bytes: codes, scales, zero points, embedding, head, norms. "
      "Minutes: of compression, calibration included.</p>\n<ul class=\"faint\">\n",
      escape_html(run.model));
  for (const RecordedTask& task : run.tasks)
    text += fmt::format("<li>{}</li>\n", escape_html(task_line(task.name, task.description)));
  text += "</ul>\n<h2 id=\"results\">Results</h2>\n<p class=\"faint\">A click on a column's name sorts by it.</p>\n";
  text += html_table(experiment_table(run.metrics), true);
  text += comparison_part(run);
  text += loss_figures(figures.losses);
  if (!figures.categories.empty()) text += "<h2 id=\"categories\">Accuracy by category</h2>\n";
  for (const Figure& figure : figures.categories) text += html_figure(figure);
  if (!figures.learning.empty()) text += "<h2 id=\"learning\">Learned allocation, round by round</h2>\n";
  for (const Figure& figure : figures.learning) text += html_figure(figure);
  text += bits_part(figures);
  for (const std::string& note : figures.notes) text += fmt::format("<p class=\"faint\">{}</p>\n", escape_html(note));
  text += "<h2 id=\"how\">How it was made</h2>\n";
  if (run.metrics.contains("config")) text += details("Configuration", run.metrics.at("config").dump(2));
  const auto environment = run.folder / "environment.json";
  if (std::filesystem::exists(environment)) text += details("Environment", parse_json_file(environment).dump(2));
  return text + fmt::format("<div id=\"note\" role=\"status\" hidden></div>\n<script>{}</script>\n</body>\n</html>\n",
                            report_script);
}

}  // namespace lcomp
