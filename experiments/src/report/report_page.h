#pragma once

namespace lcomp {

// Style sheet and script that are embedded in the report page.

// CSS for the light and dark colour schemes, the tables, and the elements that svg_figure.h writes.
extern const char* const report_style;

// JavaScript that sorts a table when a column's header is clicked, and shows the note of the point under the pointer.
// Without scripts the page shows everything else.
extern const char* const report_script;

}  // namespace lcomp
