#pragma once

#include <string>

#include "report/recorded_run.h"

namespace lcomp {

// The report of a run as one self-contained HTML page: the results table (sortable, the uncompressed model first), the
// comparison of models of equal size, every figure of run_figures.h as inline SVG, the evaluation protocols, the
// environment and the configuration. Throws Error as run_figures() does.
std::string run_report(const RecordedRun& run);

}  // namespace lcomp
