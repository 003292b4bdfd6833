#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/archive/workspace.h"
#include "lcomp/compression/learned_allocation.h"
#include "lcomp/core/progress.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Tuning: a short training of what stays at 16 or 8 bits in a compressed model, its codes as they are.

struct TuningOptions {
  std::vector<LearningTask> training;  // one a step, in turn
  LearningTask held_out;
  std::string description;  // of the texts, for the record
  int steps = 64;
  int evaluate_every = 16;  // steps; and after the last
  // Of Adam, relative to the mean magnitude of what is trained. Nothing: min(0.002, 0.0037 sqrt(cost on the held-out
  // texts before)); a divergence goes with the square of what is wrong, and what a step overshoots by is to stay small
  // beside that.
  std::optional<double> rate;
  std::optional<std::uint64_t> budget;  // the most payload bytes that the result may have
  // The original compressed again, so many bytes of the budget left free. Nothing: the codes stay as they are.
  std::function<ModelFolder(std::uint64_t reserved_bytes)> compress_again;
  bool replace = false;  // replace an existing model of that name
  // What a killed tuning goes on with; its key says what decides the result beside the options above.
  Workspace work;
  nlohmann::json record = nlohmann::json::object();  // further entries of the folder's description
};

struct TuningPoint {
  int step = 0;
  double training_cost = 0;  // mean over the steps since the last point; 0 for step 0
  double held_out_cost = 0;
};

struct TuningReport {
  std::vector<TuningPoint> points;
  int step = 0;     // whose values are kept: those of the least cost on the held-out texts
  double rate = 0;  // that was used
  std::uint64_t bytes = 0;
  bool recompressed = false;                // the result has the codes of compress_again
  std::optional<double> recompressed_cost;  // on the held-out texts, of these with what was trained on the others
};
nlohmann::json to_json(const TuningReport& report);  // without bytes

// Trains the norms' gains and biases, other 16-bit vectors, and a factor for each row of every rate-coded linear
// (rate_coded.h, row_gains; not of embedding and head, whose rows are tokens that few texts have), by Adam (Kingma and
// Ba, arXiv 1412.6980; betas 0.9 and 0.99) with a warmup of 5 steps and a cosine to 0, on the gradient of the tasks'
// cost. What is trained is float32 meanwhile and stored as the vectors were, the factors in units of 1/1024; where the
// bytes would exceed the budget, in units of 1/512, 1/256, ..., or not at all. Where they leave more than 0.1 % of it,
// compress_again() makes codes that take that too, and the result has these where no step was kept, or where they cost
// no more on the held-out texts with what was trained on the first ones. Other formats
// keep their codes; only vectors are trained there. With `work`, a killed tuning goes on at the last evaluation, to the
// same bytes. Time: gradients() of a task a step. Memory: that, and three numbers for each value that is trained.
// Throws Error for a model that isn't compressed, no tasks, a cost that is not finite (naming the step), and as
// gradients().
TuningReport tune_model(const ModelFolder& compressed, const std::filesystem::path& out, const TuningOptions& options,
                        const ProgressCallback& progress = {});

// About as many bytes as the factors of a model's rows take, so that a budget can leave room for them.
std::uint64_t expected_tuning_bytes(const ModelFolder& original);

}  // namespace lcomp
