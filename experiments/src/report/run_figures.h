#pragma once

#include <string>
#include <vector>

#include "report/figure.h"
#include "report/recorded_run.h"

namespace lcomp {

// The figures of a run.
struct RunFigures {
  std::vector<Figure> losses;      // a metric against size in bytes: one series per method
  std::vector<Figure> categories;  // accuracy by category of questions: one panel per size
  // One figure per method, one column of panels per size: a map of the mean bits per weight by layer and kind of
  // component, then histograms of weights by the bits of their column and of their row.
  std::vector<Figure> bits;
  std::vector<Figure> learning;    // learned allocation: cost by round, one figure per method, one panel per size
  std::vector<std::string> notes;  // figures that could not be drawn, with the reason
};

// Reads what it draws from the run's folder. Throws Error naming a damaged file.
RunFigures run_figures(const RecordedRun& run);

}  // namespace lcomp
