#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "report/result_table.h"

namespace lcomp {

// A picture before it is drawn: gnuplot_figure.h and svg_figure.h draw it, figure_table() writes its numbers.

struct FigurePoint {
  double x = 0, y = 0;
  double error = 0;         // half the length of an error bar; 0: none
  double half_width = 0.5;  // of a cell of a map
  std::string note;         // shown where a pointer rests on it
};

struct FigureSeries {
  std::string name;
  std::size_t style = 0;  // colour and marker; the same name has the same style in all figures of a run
  std::vector<FigurePoint> points;
};

struct FigurePanel {
  enum class Kind {
    lines,    // points joined by lines
    points,   // points only
    stacked,  // boxes of width bin_width around x, a series on top of another
    map,      // a row of coloured cells a series, from the top down; y is what the colour says
  } kind = Kind::lines;
  std::string title;
  std::string x_label, y_label;  // y_label of a map: of its colours
  bool log_y = false;
  std::optional<double> reference;  // a horizontal line, the original's value
  std::string reference_name;
  std::vector<std::string> categories;  // names of x = 0, 1, ...; empty: x is a number
  std::optional<double> x_low, x_high;  // fixed ends of the axes; else from the data
  std::optional<double> y_low, y_high;
  double bin_width = 0;
  std::vector<FigureSeries> series;
};

struct Figure {
  std::string name;  // of its files, without extension
  std::string title;
  std::size_t columns = 1;          // panels side by side; the others follow in rows
  std::vector<FigurePanel> panels;  // all have the same series names and styles, or a part of them
};

// Nine colours that people with the common forms of colour blindness tell apart (Okabe and Ito's without yellow and
// black, and three of Paul Tol's), and seven markers: 63 styles before one repeats.
inline constexpr std::array<const char*, 9> figure_colours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00",
                                                              "#56B4E9", "#882255", "#777777", "#332288"};
inline constexpr std::size_t figure_markers = 7;

struct AxisRange {
  double low = 0, high = 1;
};
// Dark to light (cividis, which reads the same with every form of colour blindness): colours of a map's lowest to
// highest value.
inline constexpr std::array<const char*, 5> map_colours = {"#00224E", "#434E6C", "#7D7C78", "#BCAF6F", "#FEE838"};

// What the axes of a panel span: the data with error bars and reference, and some room around them; of a map the y
// range is that of its colours.
AxisRange x_range(const FigurePanel& panel);
AxisRange y_range(const FigurePanel& panel);

// Every point: panel, series, x, y, error.
ResultTable figure_table(const Figure& figure);

// Series of all panels by first appearance: the legend.
std::vector<FigureSeries> legend(const Figure& figure);

}  // namespace lcomp
