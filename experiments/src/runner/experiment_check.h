#pragma once

#include <cstdint>

#include "lcomp/models/model_folder.h"
#include "runner/experiment_config.h"

namespace lcomp {

// What an experiment needs before it starts.

// Throws one Error that names every file that is missing, what it is, how large and where it is published: the
// original (all its shards), the data sets of tasks and calibration, the user's own texts.
void require_files(const ExperimentConfig& config);

// The most bytes that the experiment will have on disk at one time, but for reports: compressed models with what they
// are assembled from, statistics of calibration, the original's states. An upper estimate.
std::uint64_t disk_need(const ExperimentConfig& config, const ModelFolder& original);
// Throws Error (ErrorKind::system) when the file system of config.output has less free.
void require_disk_space(const ExperimentConfig& config, const ModelFolder& original);

}  // namespace lcomp
