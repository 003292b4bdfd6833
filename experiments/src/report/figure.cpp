#include "report/figure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace lcomp {

AxisRange x_range(const FigurePanel& panel) {
  if (!panel.categories.empty()) return {-0.5, static_cast<double>(panel.categories.size()) - 0.5};
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const FigureSeries& series : panel.series) {
    for (const FigurePoint& point : series.points) {
      const double half = panel.kind == FigurePanel::Kind::map ? point.half_width : 0;
      low = std::min(low, point.x - half);
      high = std::max(high, point.x + half);
    }
  }
  if (!(low <= high)) low = 0, high = 1;
  if (panel.kind == FigurePanel::Kind::map) return {low, high};
  const double room = low == high ? std::max(1.0, 0.05 * std::abs(low)) : 0.05 * (high - low);
  return {panel.x_low.value_or(low - room), panel.x_high.value_or(high + room)};
}

AxisRange y_range(const FigurePanel& panel) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  const auto see = [&](double value) {
    if (!std::isfinite(value) || (panel.log_y && value <= 0)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  };
  if (panel.kind == FigurePanel::Kind::stacked) {
    std::map<double, double> heights;
    for (const FigureSeries& series : panel.series) {
      for (const FigurePoint& point : series.points) heights[point.x] += point.y;
    }
    see(0);
    for (const auto& [x, height] : heights) see(height);
  } else {
    for (const FigureSeries& series : panel.series) {
      for (const FigurePoint& point : series.points) {
        see(point.y - point.error);
        see(point.y + point.error);
      }
    }
  }
  if (panel.reference) see(*panel.reference);
  if (!(low <= high)) low = panel.log_y ? 0.1 : 0, high = 1;
  if (panel.log_y) {
    const double room = low == high ? 2.0 : std::pow(high / low, 0.06);
    low /= room;
    high *= room;
  } else {
    const double room = low == high ? std::max(0.5, 0.05 * std::abs(low)) : 0.06 * (high - low);
    const bool map = panel.kind == FigurePanel::Kind::map;
    if (map && low < high) return {low, high};
    if (panel.kind != FigurePanel::Kind::stacked) low -= room;
    high += room;
  }
  return {panel.y_low.value_or(low), panel.y_high.value_or(high)};
}

ResultTable figure_table(const Figure& figure) {
  ResultTable table;
  table.columns = {"panel", "series", "x", "y", "error"};
  table.numeric = {false, false, true, true, true};
  for (const FigurePanel& panel : figure.panels) {
    const auto add = [&](const std::string& series, const std::string& x, double y, double error) {
      table.rows.push_back({panel.title.empty() ? panel.y_label : panel.title, series, x, fmt::format("{}", y),
                            error > 0 ? fmt::format("{}", error) : ""});
    };
    if (panel.reference) add(panel.reference_name, "", *panel.reference, 0);
    for (const FigureSeries& series : panel.series) {
      for (const FigurePoint& point : series.points) {
        const auto category = static_cast<std::size_t>(std::max(0L, std::lround(point.x)));
        add(series.name, category < panel.categories.size() ? panel.categories[category] : fmt::format("{}", point.x),
            point.y, point.error);
      }
    }
  }
  return table;
}

std::vector<FigureSeries> legend(const Figure& figure) {
  std::vector<FigureSeries> entries;
  for (const FigurePanel& panel : figure.panels) {
    for (const FigureSeries& series : panel.series) {
      const bool known = std::any_of(entries.begin(), entries.end(),
                                     [&](const FigureSeries& entry) { return entry.name == series.name; });
      if (!known) entries.push_back({series.name, series.style, {}});
    }
  }
  return entries;
}

}  // namespace lcomp
