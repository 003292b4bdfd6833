#pragma once

#include <string>
#include <string_view>

#include "report/figure.h"

namespace lcomp {

// `text` with the characters escaped that have a meaning in HTML and in quoted attributes.
std::string escape_html(std::string_view text);

// One panel as an <svg> element with a view box of 440 x 300 units; the page decides its size. Colours are CSS
// variables and classes of report_page.h, so that the page's light and dark schemes apply. The note of a point is its
// <title> and its attribute data-note.
std::string svg_panel(const FigurePanel& panel);

// The legend as a line of HTML: a marker and a name per series.
std::string html_legend(const Figure& figure);

}  // namespace lcomp
