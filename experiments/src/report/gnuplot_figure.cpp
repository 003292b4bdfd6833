#include "report/gnuplot_figure.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>

#include "lcomp/core/error.h"

extern char** environ;

namespace lcomp {
namespace {

// Filled circle, square, triangle, diamond, triangle down; open circle, open square.
constexpr std::array<int, figure_markers> kPointTypes = {7, 5, 9, 13, 11, 6, 4};

// A string that gnuplot takes as it is: single quotes, nothing enhanced.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += '\'';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out + "'";
}

std::string line_style(std::size_t style) {
  return fmt::format("lc rgb '{}' lw 2 dt {} pt {} ps 0.9", figure_colours[style % figure_colours.size()],
                     style < figure_colours.size() ? 1 : 2, kPointTypes[style % figure_markers]);
}

std::string range(AxisRange range) { return fmt::format("[{}:{}]", range.low, range.high); }

// A row of coloured cells a series.
std::string map_commands(const FigurePanel& panel, const std::string& block) {
  std::string text = block + " << EOD\n", tics;
  const auto rows = static_cast<double>(panel.series.size());
  for (std::size_t s = 0; s < panel.series.size(); ++s) {
    const double y = rows - 1 - static_cast<double>(s);
    for (const FigurePoint& point : panel.series[s].points) {
      text +=
          fmt::format("{} {} {} {} {}\n", point.x, y, point.x - point.half_width, point.x + point.half_width, point.y);
    }
    tics += fmt::format("{}{} {}", s == 0 ? "" : ", ", quoted(panel.series[s].name), y);
  }
  const AxisRange colours = y_range(panel);
  return text +
         fmt::format(
             "EOD\nset ylabel ''\nset yrange [-0.5:{}]\nset ytics ({})\nset cbrange {}\nset cblabel {}\nset colorbox\n"
             "unset grid\nplot {} using 1:2:3:4:($2-0.46):($2+0.46):5 with boxxyerror fs solid 1 noborder lc palette "
             "notitle\nset grid ytics lc rgb '#dddddd' lt 1 lw 1\nset ytics autofreq\n",
             rows - 0.5, tics, range(colours), quoted(panel.y_label), block);
}

// The series of a panel, on axes that are set.
std::string series_commands(const FigurePanel& panel, std::size_t number, bool titles) {
  std::string data, plots;
  const auto add = [&plots](const std::string& plot) { plots += (plots.empty() ? "plot " : ", \\\n     ") + plot; };
  const auto title = [titles](const std::string& name) { return titles ? "title " + quoted(name) : "notitle"; };
  const bool stacked = panel.kind == FigurePanel::Kind::stacked;
  if (panel.reference) {
    add(fmt::format("{} with lines lc rgb '#000000' dt 3 lw 1.5 {}", *panel.reference, title(panel.reference_name)));
  }
  std::map<double, double> heights;  // of stacked boxes so far
  for (std::size_t s = 0; s < panel.series.size(); ++s) {
    const FigureSeries& series = panel.series[s];
    if (series.points.empty()) continue;
    const std::string block = fmt::format("$panel{}_{}", number, s);
    const char* colour = figure_colours[series.style % figure_colours.size()];
    data += block + " << EOD\n";
    for (const FigurePoint& point : series.points) {
      const double base = stacked ? heights[point.x] : 0;
      if (stacked) heights[point.x] += point.y;
      data += fmt::format("{} {} {} {}\n", point.x, base + point.y, point.error, base);
    }
    data += "EOD\n";
    if (stacked) {
      const double half = panel.bin_width / 2;
      add(fmt::format("{} using 1:2:($1-{}):($1+{}):4:2 with boxxyerror fs solid 1 noborder lc rgb '{}' {}", block,
                      half, half, colour, title(series.name)));
      continue;
    }
    if (series.points.front().error > 0) {
      add(fmt::format("{} using 1:2:3 with yerrorbars lc rgb '{}' lw 1 ps 0 notitle", block, colour));
    }
    add(fmt::format("{} using 1:2 with {} {} {}", block,
                    panel.kind == FigurePanel::Kind::lines ? "linespoints" : "points", line_style(series.style),
                    title(series.name)));
  }
  return data + plots + "\n";
}

constexpr std::size_t most_level_categories = 6;  // more names along x are written aslant

// A few whole numbers along x, rounds or layers: no tics between them.
bool counts_along_x(const FigurePanel& panel) {
  const AxisRange x = x_range(panel);
  if (x.high - x.low > 12) return false;
  for (const FigureSeries& series : panel.series) {
    for (const FigurePoint& point : series.points) {
      if (point.x != std::floor(point.x)) return false;
    }
  }
  return true;
}

// `number` makes names of data blocks unique.
std::string panel_commands(const FigurePanel& panel, std::size_t number, bool titles) {
  std::string text = fmt::format("set title {}\nset xlabel {}\nset ylabel {}\n", quoted(panel.title),
                                 quoted(panel.x_label), quoted(panel.y_label));
  text += fmt::format("set xrange {}\n", range(x_range(panel)));
  if (panel.kind == FigurePanel::Kind::map) return text + map_commands(panel, fmt::format("$panel{}", number));
  text += fmt::format("set yrange {}\n{} logscale y\n", range(y_range(panel)), panel.log_y ? "set" : "unset");
  if (panel.categories.empty()) {
    text += counts_along_x(panel) ? "set xtics 1\n" : "set xtics autofreq\n";
  } else {
    text += "set xtics (";
    for (std::size_t c = 0; c < panel.categories.size(); ++c) {
      text += fmt::format("{}{} {}", c == 0 ? "" : ", ", quoted(panel.categories[c]), c);
    }
    text += panel.categories.size() > most_level_categories ? ") rotate by -20\n" : ")\n";
  }
  return text + series_commands(panel, number, titles);
}

// The legend of several panels, in a strip at the bottom: markers and names at fixed places.
std::string legend_labels(const Figure& figure, std::size_t per_row, int width, int height) {
  std::string text;
  std::size_t i = 0;
  const bool boxes = std::any_of(figure.panels.begin(), figure.panels.end(),
                                 [](const FigurePanel& panel) { return panel.kind == FigurePanel::Kind::stacked; });
  const std::vector<FigureSeries> entries = legend(figure);
  const std::size_t rows = (entries.size() + per_row - 1) / per_row;
  for (const FigureSeries& entry : entries) {
    const double x = (60.0 + static_cast<double>(i % per_row) * (width - 80.0) / static_cast<double>(per_row)) / width;
    const double y = (18.0 + 22.0 * static_cast<double>(rows - 1 - i / per_row)) / height;
    text +=
        fmt::format("set label {} {} at screen {:.4f}, screen {:.4f} left point pt {} ps 1.2 lc rgb '{}' offset 1,0\n",
                    ++i, quoted(entry.name), x, y, boxes ? 5 : kPointTypes[entry.style % figure_markers],
                    figure_colours[entry.style % figure_colours.size()]);
  }
  return text;
}

std::string palette() {
  std::string text = "set palette defined (";
  for (std::size_t c = 0; c < map_colours.size(); ++c) {
    text += fmt::format("{}{} '{}'", c == 0 ? "" : ", ", c, map_colours[c]);
  }
  return text + ")\n";
}

}  // namespace

std::string gnuplot_script(const Figure& figure, PictureFormat format, const std::string& file) {
  const std::size_t columns = std::max<std::size_t>(1, figure.columns);
  const std::size_t rows = (figure.panels.size() + columns - 1) / columns;
  const bool single = figure.panels.size() == 1;
  const int width = single ? 960 : static_cast<int>(std::max<std::size_t>(900, 460 * columns));
  std::size_t longest = 0;
  const std::vector<FigureSeries> entries = legend(figure);
  for (const FigureSeries& entry : entries) longest = std::max(longest, entry.name.size());
  const std::size_t per_row =
      std::max<std::size_t>(1, static_cast<std::size_t>(width - 80) / std::max<std::size_t>(100, 45 + 9 * longest));
  const std::size_t legend_rows = (entries.size() + per_row - 1) / per_row;
  const int below = 85 + 22 * static_cast<int>(legend_rows), above = 80;
  const int height = single ? 540 : static_cast<int>(310 * rows) + below + above;
  std::string text =
      fmt::format("set terminal {} size {},{} noenhanced font 'DejaVu Sans,12' background '#ffffff'\nset output {}\n",
                  format == PictureFormat::svg ? "svg" : "pngcairo", width, height, quoted(file));
  text +=
      "set encoding utf8\nset border 3\nset tics nomirror\nset grid ytics lc rgb '#dddddd' lt 1 lw 1\n"
      "set format y '%g'\nset title noenhanced\n" +
      palette();
  if (single) {
    FigurePanel panel = figure.panels.front();
    panel.title = figure.title;
    return text + "set key outside right top vertical Left reverse samplen 2 noenhanced\n" +
           panel_commands(panel, 0, true) + "unset output\n";
  }
  const bool map = figure.panels.front().kind == FigurePanel::Kind::map;
  const bool rotated = figure.panels.front().categories.size() > most_level_categories;
  const double left = map ? 115 : 120;
  text += fmt::format(
      "unset key\nset multiplot layout {},{} title {} margins {:.4f},{:.4f},{:.4f},{:.4f} spacing {:.4f},{:.4f}\n",
      rows, columns, quoted(figure.title), left / width,
      1 - (map       ? 100.0
           : rotated ? 60.0
                     : 20.0) /
              width,
      static_cast<double>(below) / height, 1 - static_cast<double>(above) / height, (map ? 190.0 : 90.0) / width,
      110.0 / height);
  text += legend_labels(figure, per_row, width, height);
  for (std::size_t p = 0; p < figure.panels.size(); ++p) {
    text += panel_commands(figure.panels[p], p, false);
    if (p == 0) text += "unset label\n";
  }
  return text + "unset multiplot\nunset output\n";
}

bool gnuplot_is_installed() {
  const char* path = std::getenv("PATH");
  std::string folders = path == nullptr ? "" : path;
  for (std::size_t at = 0; at <= folders.size();) {
    const std::size_t end = std::min(folders.find(':', at), folders.size());
    if (end > at && access((folders.substr(at, end - at) + "/gnuplot").c_str(), X_OK) == 0) return true;
    at = end + 1;
  }
  return false;
}

void run_gnuplot(const std::string& script) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> input(std::tmpfile(), std::fclose);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> output(std::tmpfile(), std::fclose);
  if (!input || !output) throw system_error("gnuplot", "make a temporary file", errno);
  if (std::fwrite(script.data(), 1, script.size(), input.get()) != script.size() || std::fflush(input.get()) != 0) {
    throw system_error("gnuplot", "write a temporary file", errno);
  }
  std::rewind(input.get());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fileno(input.get()), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(output.get()), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(output.get()), STDERR_FILENO);
  std::string name = "gnuplot";
  std::array<char*, 2> arguments = {name.data(), nullptr};
  pid_t child = 0;
  const int failure = posix_spawnp(&child, "gnuplot", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) throw system_error("gnuplot", "start", failure);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  std::rewind(output.get());
  std::string complaint;
  std::array<char, 512> buffer{};
  while (std::fgets(buffer.data(), static_cast<int>(buffer.size()), output.get()) != nullptr)
    complaint += buffer.data();
  if (status != 0 || complaint.find("line 0:") != std::string::npos || complaint.find("rror") != std::string::npos) {
    throw Error(ErrorKind::system, {"gnuplot", complaint.empty() ? "it failed" : complaint.substr(0, 300), "a picture",
                                    "gnuplot 5 with the terminals svg and pngcairo is needed"});
  }
}

}  // namespace lcomp
