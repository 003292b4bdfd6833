#pragma once

namespace lcomp {

// Style and script of the report's page, which stand in it.

// Colours for light and dark, the table, and what svg_figure.h draws.
extern const char* const report_style;

// Sorts tables by a click on a column's name, and shows what the point under the pointer (or finger) says. The page is
// complete without it.
extern const char* const report_script;

}  // namespace lcomp
