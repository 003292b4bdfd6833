#pragma once

#include <string>
#include <vector>

#include "report/figure.h"
#include "report/recorded_run.h"

namespace lcomp {

// The pictures of a run.
struct RunFigures {
  std::vector<Figure> losses;      // each metric against size, a series a method, the original as a line
  std::vector<Figure> categories;  // accuracy by category of questions, a panel a size
  // By method, a column of panels a size: a map of the mean bits of each kind of component by layer, and how many
  // weights are in columns and in rows of so many bits.
  std::vector<Figure> bits;
  std::vector<Figure> learning;    // of learned allocations, by method: cost by round, a panel a size
  std::vector<std::string> notes;  // what could not be drawn, and why
};

// Throws Error naming a file of the run that is damaged.
RunFigures run_figures(const RecordedRun& run);

}  // namespace lcomp
