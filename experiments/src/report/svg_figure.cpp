#include "report/svg_figure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <vector>

namespace lcomp {
namespace {

constexpr double kWidth = 440, kHeight = 300;
constexpr double kTop = 30, kBottom = 48;

std::string colour_class(std::size_t style) { return fmt::format("c{}", style % figure_colours.size()); }

// Positions on the page of values on the axes.
struct Frame {
  AxisRange x, y;
  bool log_y = false;
  double left = 70, right = kWidth - 14, top = kTop, bottom = kHeight - kBottom;

  double at_x(double value) const { return left + (value - x.low) / (x.high - x.low) * (right - left); }
  double at_y(double value) const {
    const double share = log_y ? std::log(std::max(value, y.low) / y.low) / std::log(y.high / y.low)
                               : (value - y.low) / (y.high - y.low);
    return bottom - std::clamp(share, -0.02, 1.02) * (bottom - top);
  }
};

// About `count` round values inside the range: 1, 2 or 5 times a power of ten apart.
std::vector<double> round_ticks(AxisRange range, int count) {
  const double wanted = (range.high - range.low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(wanted)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= wanted) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  for (double tick = std::ceil(range.low / step) * step; tick <= range.high + 1e-9 * step; tick += step) {
    ticks.push_back(std::abs(tick) < 1e-9 * step ? 0 : tick);
  }
  return ticks;
}

// Powers of ten, with 2 and 5 times them where the range is short, fewer where it is long.
std::vector<double> log_ticks(AxisRange range) {
  const double decades = std::log10(range.high / range.low);
  const int every = std::max(1, static_cast<int>(decades / 6));
  std::vector<double> ticks;
  for (int power = static_cast<int>(std::floor(std::log10(range.low))); power <= std::log10(range.high); ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor > 1 && decades > 2) continue;
      if (decades > 2 && power % every != 0) continue;
      const double tick = factor * std::pow(10.0, power);
      if (tick >= range.low && tick <= range.high) ticks.push_back(tick);
    }
  }
  return ticks.size() >= 2 ? ticks : round_ticks(range, 5);
}

std::string axis_number(double value) { return fmt::format("{:.6g}", value); }

std::string text_at(double x, double y, const char* anchor, const std::string& text, const char* more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>", x, y, anchor, more,
                     escape_html(text));
}

std::string hover(const std::string& note) {
  if (note.empty()) return ">";
  return fmt::format(" data-note=\"{0}\" tabindex=\"-1\"><title>{0}</title>", escape_html(note));
}

// The shapes of gnuplot_figure.cpp, in the same order: circle, square, triangle, diamond, triangle down; open circle,
// open square.
std::string marker(std::size_t style, double x, double y, const std::string& note) {
  constexpr double r = 4.5;
  const std::size_t shape = style % figure_markers;
  const std::string look = fmt::format("class=\"m {}{}\"", colour_class(style), shape >= 5 ? " open" : "");
  const auto path = [&](const std::string& d) {
    return fmt::format("<path {} d=\"{}\"", look, d) + hover(note) + "</path>";
  };
  switch (shape) {
    case 1:
    case 6:
      return path(fmt::format("M{:.1f} {:.1f}h8v8h-8z", x - 4, y - 4));
    case 2:
      return path(fmt::format("M{:.1f} {:.1f}l5 8.6h-10z", x, y - 5.2));
    case 3:
      return path(fmt::format("M{:.1f} {:.1f}l5.4 5.4l-5.4 5.4l-5.4 -5.4z", x, y - 5.4));
    case 4:
      return path(fmt::format("M{:.1f} {:.1f}l5 -8.6h-10z", x, y + 5.2));
    default:
      return fmt::format("<circle {} cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"", look, x, y, r) + hover(note) + "</circle>";
  }
}

// A colour between those of the map, for a share of 0 to 1.
std::string map_colour(double share) {
  const double at = std::clamp(share, 0.0, 1.0) * static_cast<double>(map_colours.size() - 1);
  const std::size_t below = std::min(static_cast<std::size_t>(at), map_colours.size() - 2);
  const double rest = at - static_cast<double>(below);
  const auto channel = [](const char* colour, int shift) {
    return static_cast<double>((std::strtol(colour + 1, nullptr, 16) >> shift) & 255);
  };
  std::string text = "#";
  for (const int shift : {16, 8, 0}) {
    const double value =
        channel(map_colours[below], shift) * (1 - rest) + channel(map_colours[below + 1], shift) * rest;
    text += fmt::format("{:02x}", static_cast<int>(std::lround(value)));
  }
  return text;
}

std::string map_cells(const FigurePanel& panel, Frame& frame) {
  frame.left = 86;
  frame.right = kWidth - 62;
  const AxisRange colours = y_range(panel);
  const double rows = static_cast<double>(panel.series.size());
  const double row_height = (frame.bottom - frame.top) / rows;
  const auto share = [&](double value) { return (value - colours.low) / (colours.high - colours.low); };
  std::string text;
  for (std::size_t s = 0; s < panel.series.size(); ++s) {
    const double top = frame.top + row_height * static_cast<double>(s);
    text += text_at(frame.left - 6, top + row_height / 2 + 4, "end", panel.series[s].name);
    for (const FigurePoint& point : panel.series[s].points) {
      const double left = frame.at_x(point.x - point.half_width), right = frame.at_x(point.x + point.half_width);
      text +=
          fmt::format("<rect class=\"cell\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"",
                      left, top + 0.5, std::max(0.5, right - left - 0.3), row_height - 1, map_colour(share(point.y))) +
          hover(point.note) + "</rect>";
    }
  }
  // The colours' scale.
  constexpr int steps = 24;
  const double height = (frame.bottom - frame.top) / steps;
  for (int i = 0; i < steps; ++i) {
    text += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"12\" height=\"{:.1f}\" fill=\"{}\"/>",
                        frame.right + 10, frame.bottom - height * (i + 1), height + 0.3, map_colour((i + 0.5) / steps));
  }
  for (const double tick : round_ticks(colours, 4)) {
    text += text_at(frame.right + 26, frame.bottom - share(tick) * (frame.bottom - frame.top) + 4, "start",
                    axis_number(tick));
  }
  return text;
}

std::string axes(const FigurePanel& panel, const Frame& frame) {
  std::string text;
  if (panel.kind != FigurePanel::Kind::map) {
    for (const double tick : panel.log_y ? log_ticks(frame.y) : round_ticks(frame.y, 5)) {
      const double y = frame.at_y(tick);
      text += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", frame.left, y, frame.right);
      text += text_at(frame.left - 6, y + 4, "end", axis_number(tick));
    }
    text += text_at(13, (frame.top + frame.bottom) / 2, "middle", panel.y_label,
                    fmt::format(" transform=\"rotate(-90 13 {:.1f})\"", (frame.top + frame.bottom) / 2).c_str());
  }
  text += fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", frame.left, frame.bottom, frame.right);
  if (panel.categories.empty()) {
    for (const double tick : round_ticks(frame.x, 6)) {
      const double x = frame.at_x(tick);
      text += fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}v4\"/>", x, frame.bottom);
      text += text_at(x, frame.bottom + 17, "middle", axis_number(tick));
    }
  } else {
    const bool crowded = panel.categories.size() > 5;
    for (std::size_t c = 0; c < panel.categories.size(); ++c) {
      const double x = frame.at_x(static_cast<double>(c)), y = frame.bottom + 15;
      text += text_at(x, y, crowded ? "end" : "middle", panel.categories[c],
                      crowded ? fmt::format(" transform=\"rotate(-25 {:.1f} {:.1f})\"", x, y).c_str() : "");
    }
  }
  text += text_at((frame.left + frame.right) / 2, kHeight - 10, "middle", panel.x_label);
  return text + text_at((frame.left + frame.right) / 2, 16, "middle", panel.title, " class=\"title\"");
}

std::string series_shapes(const FigurePanel& panel, const Frame& frame) {
  std::string text;
  std::map<double, double> heights;  // of stacked boxes so far
  for (const FigureSeries& series : panel.series) {
    const std::string colour = colour_class(series.style);
    if (panel.kind == FigurePanel::Kind::stacked) {
      for (const FigurePoint& point : series.points) {
        double& base = heights[point.x];
        const double left = frame.at_x(point.x - panel.bin_width / 2),
                     right = frame.at_x(point.x + panel.bin_width / 2);
        const double top = frame.at_y(base + point.y), bottom = frame.at_y(base);
        text += fmt::format("<rect class=\"box {}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"",
                            colour, left, top, right - left, bottom - top) +
                hover(point.note) + "</rect>";
        base += point.y;
      }
      continue;
    }
    std::string line, errors, markers;
    for (const FigurePoint& point : series.points) {
      const double x = frame.at_x(point.x), y = frame.at_y(point.y);
      line += fmt::format("{}{:.1f} {:.1f}", line.empty() ? "M" : "L", x, y);
      if (point.error > 0) {
        const double low = frame.at_y(point.y - point.error), high = frame.at_y(point.y + point.error);
        errors += fmt::format("M{:.1f} {:.1f}V{:.1f}", x, low, high);
      }
      markers += marker(series.style, x, y, point.note);
    }
    const char* dashed = series.style >= figure_colours.size() ? " dashed" : "";
    if (panel.kind == FigurePanel::Kind::lines && series.points.size() > 1) {
      text += fmt::format("<path class=\"line {}{}\" d=\"{}\"/>", colour, dashed, line);
    }
    if (!errors.empty()) text += fmt::format("<path class=\"error {}\" d=\"{}\"/>", colour, errors);
    text += markers;
  }
  return text;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string svg_panel(const FigurePanel& panel) {
  Frame frame;
  frame.x = x_range(panel);
  frame.y = y_range(panel);
  frame.log_y = panel.log_y;
  const std::string cells = panel.kind == FigurePanel::Kind::map ? map_cells(panel, frame) : "";
  std::string text = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", kWidth, kHeight,
                                 escape_html(panel.title.empty() ? panel.y_label : panel.title));
  text += axes(panel, frame);
  if (panel.reference) {
    const double y = frame.at_y(*panel.reference);
    text += fmt::format("<path class=\"reference\" d=\"M{:.1f} {:.1f}H{:.1f}\"", frame.left, y, frame.right) +
            hover(fmt::format("{}: {}", panel.reference_name, axis_number(*panel.reference))) + "</path>";
  }
  text += panel.kind == FigurePanel::Kind::map ? cells : series_shapes(panel, frame);
  return text + "</svg>\n";
}

std::string html_legend(const Figure& figure) {
  const bool boxes = std::any_of(figure.panels.begin(), figure.panels.end(),
                                 [](const FigurePanel& panel) { return panel.kind == FigurePanel::Kind::stacked; });
  std::string text = "<p class=\"legend\">";
  for (const FigureSeries& entry : legend(figure)) {
    text += "<span><svg viewBox=\"0 0 16 16\" width=\"16\" height=\"16\" aria-hidden=\"true\">";
    text += boxes ? fmt::format("<rect class=\"box {}\" x=\"2\" y=\"2\" width=\"12\" height=\"12\"/>",
                                colour_class(entry.style))
                  : marker(entry.style, 8, 8, "");
    text += "</svg>" + escape_html(entry.name) + "</span> ";
  }
  return text + "</p>\n";
}

}  // namespace lcomp
