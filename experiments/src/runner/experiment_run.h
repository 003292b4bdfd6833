#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include <nlohmann/json.hpp>

#include "lcomp/core/progress.h"
#include "runner/experiment_config.h"

namespace lcomp {

struct ExperimentResult {
  nlohmann::json metrics;      // what metrics.json holds
  std::string table_markdown;  // what table.md holds
  std::size_t computed_cells = 0;
  std::size_t kept_cells = 0;  // found finished, from an earlier run
};

// Runs an experiment: for each method at each size, compresses the model, scores the result from its files, and writes
//   OUTPUT/metrics.json, environment.json, table.md, table.csv    (rewritten after each cell)
//   OUTPUT/report.html                                            all of it as a page (when everything is finished)
//   OUTPUT/reference/                                             what the original computed, for divergences from it
//   OUTPUT/cells/ID/                                              what was computed for one method at one size
// ID is a hash of the model's content and the setting; a score is named by a hash of the scored tokens. What is there
// already is not computed again, so that a run that was stopped goes on where it was, and a changed file recomputes
// what changed. Throws Error before any work when a setting is wrong, files are missing
// (all are named) or the disk is too small; later errors and Interrupted leave finished cells
// in place.
// `announce`, where set, is told once how much there is to do and about how long it will take.
ExperimentResult run_experiment(const ExperimentConfig& config, const ProgressCallback& progress,
                                const std::function<void(const std::string&)>& announce = {});

// Everything that run_experiment() checks before it starts, and what it would announce. Writes nothing.
std::string check_experiment(const ExperimentConfig& config);

}  // namespace lcomp
