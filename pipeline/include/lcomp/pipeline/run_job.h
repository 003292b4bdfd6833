#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "lcomp/archive/workspace.h"
#include "lcomp/compression/compress_model.h"
#include "lcomp/core/progress.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/pipeline/compression_job.h"
#include "lcomp/training/tuning.h"

namespace lcomp {

// Where a job puts its result, and what it keeps meanwhile. Paths that are left empty lie within the unfinished work.
struct JobPlaces {
  std::filesystem::path out;         // the compressed model
  bool replace = false;              // an existing model there, and unfinished work of other settings
  std::filesystem::path unfinished;  // empty: OUT.unfinished
  std::filesystem::path statistics;  // an archive of statistics of the original, shared by jobs of one calibration
  std::filesystem::path costs;       // costs of components at each bit width, shared by jobs of one calibration
  // A file with what allocator learned has learned, shared by jobs that differ in the tuning alone: the first writes
  // it, the others only compress.
  std::filesystem::path learned;
  std::string model_identity;  // of the original, where it is known already
};

// OUT.unfinished, whether or not `out` ends with a slash.
std::filesystem::path unfinished_folder(const std::filesystem::path& out);

struct JobOutcome {
  CompressionReport report;
  nlohmann::json calibration;  // how statistics were made; null: there were none
  int recalibrations = 0;
  nlohmann::json learning;  // {"rounds", "round"} of allocator learned; else null
  std::optional<TuningReport> tuning;
  Workspace unfinished;  // what the job went on with; for the caller to clear when the result is in its place
};
// to_json(report), and under "recalibrations", "learning" and "repair" how they went.
nlohmann::json to_json(const JobOutcome& outcome);

// Compresses a model into places.out: gathers the statistics that the plan uses, recalibrates, learns the allocation
// and tunes the result where the job says so. Called again after kill -9 with the same arguments, it goes on where it
// was, to the same bytes. Throws Error for an `out` that exists without `replace`, unfinished work of other settings,
// and as the steps: compress_model(), compress_learned(), tune_model(), calibrate().
JobOutcome run_job(const CompressionJob& job, const ModelFolder& model, const JobPlaces& places,
                   const ProgressCallback& progress = {});

}  // namespace lcomp
