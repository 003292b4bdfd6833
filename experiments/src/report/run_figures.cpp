#include "report/run_figures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <span>

#include "lcomp/compression/bit_distribution.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

// Methods in the order of the record.
std::vector<std::string> methods_of(const RecordedRun& run) {
  std::vector<std::string> methods;
  for (const RecordedRow& row : run.rows) {
    if (row.is_original() || std::count(methods.begin(), methods.end(), row.method) > 0) continue;
    methods.push_back(row.method);
  }
  return methods;
}

// "wikitext2 KL mean" as "kl_wikitext2", for files.
std::string file_name(const std::string& kind, const std::string& subject) {
  std::string name = kind + "_";
  for (const char c : subject) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '-';
    name += plain ? c : '_';
  }
  return name;
}

std::string axis_label(const Metric& metric) {
  switch (metric.kind) {
    case Metric::Kind::perplexity:
      return "perplexity";
    case Metric::Kind::kl:
      return "KL divergence, nats a token";
    case Metric::Kind::accuracy:
      return "accuracy, %";
  }
  return {};
}

double drawn_value(const RecordedRow& row, const Metric& metric) {
  return metric_value(row, metric) * (metric.kind == Metric::Kind::accuracy ? 100 : 1);
}

std::string note_of(const RecordedRow& row, const Metric& metric) {
  return fmt::format("{}, {:.1f} MB, {:.2f} bits per weight: {}", row.method, static_cast<double>(row.bytes) / 1e6,
                     row.bits_per_weight, metric_text(metric_value(row, metric), metric));
}

Figure loss_figure(const RecordedRun& run, const Metric& metric, const std::vector<std::string>& methods) {
  Figure figure;
  const bool accuracy = metric.kind == Metric::Kind::accuracy;
  const bool kl = metric.kind == Metric::Kind::kl;
  figure.name = file_name(accuracy ? "accuracy" : kl ? "kl" : "perplexity", metric.task);
  figure.title = metric.task + (accuracy ? ": accuracy" : kl ? ": KL divergence" : ": perplexity") + " against size";
  FigurePanel panel;
  panel.x_label = "size, MB (10^6 bytes, everything counted)";
  panel.y_label = axis_label(metric);
  panel.log_y = !accuracy;
  const double original = drawn_value(run.original(), metric);
  if (!std::isnan(original)) {
    panel.reference = original;
    panel.reference_name = fmt::format("original, {:.1f} MB", static_cast<double>(run.original().bytes) / 1e6);
  }
  for (std::size_t m = 0; m < methods.size(); ++m) {
    FigureSeries series{methods[m], m, {}};
    for (const RecordedRow& row : run.rows) {
      if (row.method != methods[m]) continue;
      const double value = drawn_value(row, metric);
      if (!std::isfinite(value)) continue;
      // On an axis of logarithms a bar may not reach 0.
      const double error =
          accuracy ? 100 * metric_error(row, metric) : std::min(metric_error(row, metric), 0.9 * value);
      series.points.push_back({static_cast<double>(row.bytes) / 1e6, value, error, 0, note_of(row, metric)});
    }
    std::sort(series.points.begin(), series.points.end(),
              [](const FigurePoint& a, const FigurePoint& b) { return a.x < b.x; });
    panel.series.push_back(std::move(series));
  }
  figure.panels.push_back(std::move(panel));
  return figure;
}

// Sizes in the order of the record.
std::vector<std::string> sizes_of(const RecordedRun& run, const std::string& method = "") {
  std::vector<std::string> sizes;
  for (const RecordedRow& row : run.rows) {
    if (row.is_original() || (!method.empty() && row.method != method)) continue;
    if (std::count(sizes.begin(), sizes.end(), row.size) == 0) sizes.push_back(row.size);
  }
  return sizes;
}

// Accuracy by category, or, of questions without categories, by subject where there are few.
const nlohmann::json& parts_of(const RecordedRow& row, const std::string& task) {
  static const nlohmann::json none = nlohmann::json::object();
  const nlohmann::json& choices = row.scores.at(task).at("choices");
  for (const char* kind : {"categories", "subjects"}) {
    const auto found = choices.find(kind);
    if (found != choices.end() && found->size() >= 2 && found->size() <= 12) return *found;
  }
  return none;
}

Figure category_figure(const RecordedRun& run, const std::string& task, const std::vector<std::string>& methods) {
  Figure figure;
  figure.name = file_name("categories", task);
  figure.title = task + ": accuracy by category, with standard errors";
  std::vector<std::string> categories;
  for (const auto& entry : parts_of(run.original(), task).items()) categories.push_back(entry.key());
  if (categories.empty()) return figure;
  const double width = 0.8 / static_cast<double>(methods.size() + 1);
  for (const std::string& size : sizes_of(run)) {
    FigurePanel panel;
    panel.kind = FigurePanel::Kind::points;
    panel.title = size;
    panel.y_label = "accuracy, %";
    panel.categories = categories;
    const auto add = [&](const RecordedRow& row, std::size_t slot, const std::string& name) {
      FigureSeries series{name, slot, {}};
      const nlohmann::json& parts = parts_of(row, task);
      for (std::size_t c = 0; c < categories.size(); ++c) {
        if (!parts.contains(categories[c])) continue;
        const auto& part = parts.at(categories[c]);
        const double value = 100 * part.at("accuracy").get<double>();
        series.points.push_back({static_cast<double>(c) - 0.4 + width * (static_cast<double>(slot) + 0.5), value,
                                 100 * part.at("standard_error").get<double>(), 0,
                                 fmt::format("{}, {}: {:.1f} %", name, categories[c], value)});
      }
      panel.series.push_back(std::move(series));
    };
    for (std::size_t m = 0; m < methods.size(); ++m) {
      for (const RecordedRow& row : run.rows) {
        if (row.method == methods[m] && row.size == size) add(row, m, methods[m]);
      }
    }
    add(run.original(), methods.size(), "original");
    figure.panels.push_back(std::move(panel));
  }
  // Panels have one scale.
  double low = 100, high = 0;
  for (const FigurePanel& panel : figure.panels) {
    low = std::min(low, y_range(panel).low);
    high = std::max(high, y_range(panel).high);
  }
  for (FigurePanel& panel : figure.panels) {
    panel.y_low = std::max(0.0, low);
    panel.y_high = std::min(100.0, high);
  }
  return figure;
}

const std::vector<std::string>& roles() {
  static const std::vector<std::string> names = {"embedding", "q",    "k",    "v",   "o",       "gate",
                                                 "up",        "down", "head", "qkv", "gate+up", "router"};
  return names;
}

std::size_t style_of(const std::string& role) {
  return static_cast<std::size_t>(std::find(roles().begin(), roles().end(), role) - roles().begin());
}

struct Shares {
  double bytes = 0, weights = 0;
};

// Mean bits by layer; embedding and head, which belong to none, along all of it.
FigurePanel layer_panel(const std::vector<ComponentBits>& components, const std::string& title) {
  FigurePanel panel;
  panel.kind = FigurePanel::Kind::map;
  panel.title = title;
  panel.x_label = "layer";
  panel.y_label = "mean bits per weight";
  std::size_t layers = 1;
  for (const ComponentBits& component : components) {
    if (component.layer) layers = std::max(layers, *component.layer + 1);
  }
  std::map<std::string, std::map<std::optional<std::size_t>, Shares>> means;  // by role and layer
  for (const ComponentBits& component : components) {
    Shares& shares = means[component.role][component.layer];
    shares.bytes += static_cast<double>(component.bytes);
    shares.weights += static_cast<double>(component.rows) * static_cast<double>(component.cols);
  }
  for (const std::string& role : roles()) {
    if (!means.contains(role)) continue;
    FigureSeries series{role, style_of(role), {}};
    for (const auto& [layer, shares] : means[role]) {
      const double bits = 8 * shares.bytes / shares.weights;
      if (layer) {
        series.points.push_back(
            {static_cast<double>(*layer), bits, 0, 0.5, fmt::format("{}, layer {}: {:.2f} bits", role, *layer, bits)});
      } else {
        const double half = static_cast<double>(layers) / 2;
        series.points.push_back({half - 0.5, bits, 0, half, fmt::format("{}: {:.2f} bits", role, bits)});
      }
    }
    panel.series.push_back(std::move(series));
  }
  return panel;
}

// Share of all weights that are in rows (or columns) of so many bits, by role.
FigurePanel histogram_panel(const std::vector<ComponentBits>& components, const std::string& title, bool by_columns) {
  constexpr double width = 0.25;
  FigurePanel panel;
  panel.kind = FigurePanel::Kind::stacked;
  panel.title = title;
  panel.bin_width = width;
  panel.x_label = by_columns ? "bits per weight of a column" : "bits per weight of a row";
  panel.y_label = "% of weights";
  panel.x_low = 0;
  panel.x_high = width * bit_bins;
  double all = 0;
  std::map<std::string, std::array<double, bit_bins>> weights;
  for (const ComponentBits& component : components) {
    const BitHistogram& histogram = by_columns ? component.columns_by_bits : component.rows_by_bits;
    const auto each = static_cast<double>(by_columns ? component.rows : component.cols);
    auto& sums = weights.try_emplace(component.role).first->second;
    for (std::size_t bin = 0; bin < bit_bins; ++bin) {
      sums[bin] += each * static_cast<double>(histogram[bin]);
      all += each * static_cast<double>(histogram[bin]);
    }
  }
  for (const std::string& role : roles()) {
    if (!weights.contains(role)) continue;
    FigureSeries series{role, style_of(role), {}};
    for (std::size_t bin = 0; bin < bit_bins; ++bin) {
      const double share = 100 * weights[role][bin] / all;
      if (share == 0) continue;
      const double edge = width * static_cast<double>(bin);
      const std::string bits =
          bin + 1 == bit_bins ? "8 bits and more" : fmt::format("{:.2f} to {:.2f} bits", edge, edge + width);
      series.points.push_back(
          {edge + width / 2, share, 0, 0, fmt::format("{}, {}: {:.2f} % of weights", role, bits, share)});
    }
    panel.series.push_back(std::move(series));
  }
  return panel;
}

Figure bits_figure(const RecordedRun& run, const std::string& method, std::vector<std::string>& absent) {
  Figure figure;
  figure.name = file_name("bits", method);
  figure.title = method + ": where the bits are";
  std::vector<FigurePanel> layers, columns, rows;
  for (const RecordedRow& row : run.rows) {
    if (row.method != method) continue;
    const fs::path file = run.folder / "cells" / row.cell / "allocation.json";
    if (!fs::exists(file)) {
      absent.push_back(fmt::format("{}, {}", row.method, row.size));
      continue;
    }
    const auto components = bit_distribution_from_json(parse_json_file(file), file.string());
    layers.push_back(
        layer_panel(components, fmt::format("{} ({:.2f} bits per weight)", row.size, row.bits_per_weight)));
    columns.push_back(histogram_panel(components, row.size, true));
    rows.push_back(histogram_panel(components, row.size, false));
  }
  figure.columns = layers.size();
  for (auto* panels : {&layers, &columns, &rows}) {
    for (FigurePanel& panel : *panels) figure.panels.push_back(std::move(panel));
  }
  return figure;
}

// Cost by round on the texts that were learned from and on those held out.
Figure learning_figure(const RecordedRun& run, const std::string& method) {
  Figure figure;
  figure.name = file_name("learning", method);
  figure.title = method + ": cost by round";
  for (const RecordedRow& row : run.rows) {
    const fs::path file = run.folder / "cells" / row.cell / "cell.json";
    if (row.method != method || !fs::exists(file)) continue;
    const nlohmann::json cell = parse_json_file(file);
    if (!cell.contains("learning")) continue;
    FigurePanel panel;
    panel.title = fmt::format("{}, round {} is kept", row.size, cell["learning"].value("round", 0) + 1);
    panel.x_label = "round";
    panel.y_label = "cost, nats a token";
    FigureSeries training{"learned from", 0, {}}, held_out{"held out", 1, {}};
    double number = 1;
    for (const nlohmann::json& round : cell["learning"].at("rounds")) {
      const auto add = [&](FigureSeries& series, const char* key) {
        const double cost = round.at(key).get<double>();
        series.points.push_back({number, cost, 0, 0.5, fmt::format("{}, round {}: {:.5f}", series.name, number, cost)});
      };
      add(training, "training_cost");
      add(held_out, "held_out_cost");
      ++number;
    }
    panel.x_low = 0.5;
    panel.x_high = number - 0.5;
    panel.series = {std::move(training), std::move(held_out)};
    figure.panels.push_back(std::move(panel));
  }
  return figure;
}

}  // namespace

RunFigures run_figures(const RecordedRun& run) {
  RunFigures figures;
  const std::vector<std::string> methods = methods_of(run);
  if (methods.empty()) {
    figures.notes.push_back("no compressed model is finished yet: nothing to draw");
    return figures;
  }
  for (const RecordedTask& task : run.tasks) {
    for (const Metric& metric : metrics_of(task)) figures.losses.push_back(loss_figure(run, metric, methods));
    if (!task.choices) continue;
    Figure figure = category_figure(run, task.name, methods);
    if (!figure.panels.empty()) figures.categories.push_back(std::move(figure));
  }
  std::vector<std::string> absent;
  for (const std::string& method : methods) {
    Figure figure = bits_figure(run, method, absent);
    if (!figure.panels.empty()) figures.bits.push_back(std::move(figure));
  }
  for (const std::string& method : methods) {
    Figure figure = learning_figure(run, method);
    if (!figure.panels.empty()) figures.learning.push_back(std::move(figure));
  }
  if (!absent.empty()) {
    constexpr std::size_t named = 3;
    const std::span<const std::string> some(absent.data(), std::min(named, absent.size()));
    figures.notes.push_back(fmt::format(
        "where the bits are is not drawn, for want of allocation.json (made by an earlier version): {}{}",
        fmt::join(some, "; "), absent.size() > named ? fmt::format(" and {} more", absent.size() - named) : ""));
  }
  return figures;
}

}  // namespace lcomp
