#pragma once

#include <string>

#include "report/recorded_run.h"

namespace lcomp {

// A run as one HTML page that needs nothing else: its table (sortable, the original first), the models of equal bytes
// with the best marked, every figure of run_figures.h as inline SVG, what was scored, where and with which
// configuration. Throws Error as run_figures() does.
std::string run_report(const RecordedRun& run);

}  // namespace lcomp
