#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "report/result_table.h"

namespace lcomp {

// A figure as data. gnuplot_figure.h draws it into a file, svg_figure.h into a page; figure_table() writes its numbers.

struct FigurePoint {
  double x = 0, y = 0;
  double error = 0;         // half the length of the error bar; 0: no error bar
  double half_width = 0.5;  // half the width of this cell of a map, in units of x
  std::string note;         // text that a page shows while the pointer rests on the point
};

struct FigureSeries {
  std::string name;
  std::size_t style = 0;  // index of colour and marker; a name has the same style in all figures of a run
  std::vector<FigurePoint> points;
};

struct FigurePanel {
  enum class Kind {
    lines,    // points joined by lines
    points,   // points only
    stacked,  // bars of width bin_width centred at x, each series on top of the previous one
    map,      // heat map: one row of cells per series, from the top down; y decides the colour
  } kind = Kind::lines;
  std::string title;
  std::string x_label, y_label;  // of a map, y_label names the colour scale
  bool log_y = false;
  std::optional<double> reference;  // y of a horizontal line: the value of the uncompressed model
  std::string reference_name;
  std::vector<std::string> categories;  // labels of x = 0, 1, ...; empty: x is a number
  std::optional<double> x_low, x_high;  // fixed ends of the axes; absent: taken from the data
  std::optional<double> y_low, y_high;
  double bin_width = 0;
  std::vector<FigureSeries> series;
};

struct Figure {
  std::string name;  // base name of the files it is drawn into
  std::string title;
  std::size_t columns = 1;          // number of panels in a row
  std::vector<FigurePanel> panels;  // they share one legend: equal names have equal styles
};

// Nine colours that people with the common forms of colour blindness tell apart (Okabe and Ito's without yellow and
// black, and three of Paul Tol's), and seven markers: 63 styles before one repeats.
inline constexpr std::array<const char*, 9> figure_colours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00",
                                                              "#56B4E9", "#882255", "#777777", "#332288"};
inline constexpr std::size_t figure_markers = 7;

struct AxisRange {
  double low = 0, high = 1;
};
// Colour scale of a map from its lowest value (dark) to its highest (light): cividis, which is readable with every form
// of colour blindness.
inline constexpr std::array<const char*, 5> map_colours = {"#00224E", "#434E6C", "#7D7C78", "#BCAF6F", "#FEE838"};

// Range of each axis: the data with their error bars and the reference line, and a margin around them. The y range of a
// map is the range of its colour scale.
AxisRange x_range(const FigurePanel& panel);
AxisRange y_range(const FigurePanel& panel);

// The numbers of the figure: one row per point with panel, series, x, y and error.
ResultTable figure_table(const Figure& figure);

// The legend: the series of all panels, without repetition, in order of first appearance.
std::vector<FigureSeries> legend(const Figure& figure);

}  // namespace lcomp
