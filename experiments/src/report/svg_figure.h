#pragma once

#include <string>
#include <string_view>

#include "report/figure.h"

namespace lcomp {

// Text as it may stand in HTML and in quoted attributes.
std::string escape_html(std::string_view text);

// A panel as an <svg> element of 440 x 300 units that scales with its place. Colours are CSS variables and classes of
// report_page.h, so that the page's light and dark styles apply; what a point says is in its <title> and in data-note.
std::string svg_panel(const FigurePanel& panel);

// The figure's series as a line of HTML, a marker and a name each.
std::string html_legend(const Figure& figure);

}  // namespace lcomp
