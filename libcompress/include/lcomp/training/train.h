#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "lcomp/core/progress.h"
#include "lcomp/training/training_config.h"

namespace lcomp {

struct TrainingOptions {
  // A step an update; the label has loss and tokens a second. Interrupted, thrown from it, stops the training with a
  // checkpoint of the step that was just done.
  ProgressCallback progress;
  // Goes on with a checkpoint whose configuration differs in what may change on the way (differences()).
  bool extend = false;
  std::string program_version;  // for training.json
};

struct TrainingResult {
  std::uint64_t first_step = 0;  // where it went on; 0: from the beginning
  std::uint64_t steps = 0;
  std::uint64_t tokens = 0;
  double loss = 0;  // of the last step; NaN where there was nothing left to do
  std::optional<double> held_out_loss;
  double seconds = 0;
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;  // of the quantized model, where it is one
};
nlohmann::json to_json(const TrainingResult& result);

// Trains a model on texts by AdamW, float32: steps of batch * accumulation windows, the gradient's norm clipped to
// `clip`, weight decay on matrices only. The folder `out` gets
//   config.json, model.safetensors, tokenizer.json   the model in 16 bits, as of the last checkpoint
//   model/              instead, with `qat`: the compressed model, the very one that was evaluated
//   training.json       the configuration with all defaults and what came of it
//   log.csv             an update a line (training_log.h)
//   checkpoints/        the last two (checkpoint.h)
// Begins where the last checkpoint in `out` left off. After an interruption at any moment (kill -9) the same call goes
// on from there to the same bits, with the same number of threads.
// Throws Error for a checkpoint of another configuration or other files (saying what differs), a file with fewer tokens
// than a window, a loss, activations, weights or gradients that are not finite (naming the step and the layer or
// tensor; the checkpoints before it stay), and a full disk (the same).
TrainingResult train(const TrainingConfig& config, const TrainingOptions& options = {});

// The same for a configuration with `blockwise` (blockwise.h): `out` gets model/ and training.json. After an
// interruption the same call goes on at the block that it was at, to the same bits.
BlockwiseReport match_blocks(const TrainingConfig& config, const TrainingOptions& options = {});

}  // namespace lcomp
