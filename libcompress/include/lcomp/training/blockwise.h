#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/archive/workspace.h"
#include "lcomp/core/progress.h"
#include "lcomp/formats/model_size.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/training/projected_weights.h"

namespace lcomp {

// How each block is matched to the original's.
struct BlockwiseOptions {
  std::uint64_t steps = 200;  // updates a block; 0: what it begins with
  std::uint64_t batch = 8;    // windows an update
  // Of a grid's step, what a weight moves by in the first update; it falls along a line to 0, so that a weight moves by
  // rate * steps / 2 at most. Nothing: 1 / steps, half a step in all (AutoRound).
  std::optional<double> rate;
  // The same of a learned step, of itself.
  std::optional<double> step_rate;
  std::uint64_t seed = 0;  // of which windows an update takes
  // Where finished blocks are kept until the caller clears it: called again after kill -9 with the same arguments, they
  // are taken from there, and the result is the same. Its key says what else than the setting, the windows and these
  // options decides the result: the model. Other work there is discarded.
  Workspace work = {};
};

struct BlockMatch {
  std::size_t layer = 0;
  double error_before = 0;  // |quantized - original|^2 / |original|^2 of the block's output, before training
  double error = 0;         // after training
  double seconds = 0;
};

struct BlockwiseReport {
  std::vector<BlockMatch> blocks;
  ModelSize size;
};
nlohmann::json to_json(const BlockwiseReport& report);

// Quantizes a model block by block: the weights of one block (and its steps, where they are learned) are trained by the
// signs of their gradients, so that its output on what the quantized blocks before it give comes as close as it can, in
// mean square, to the original block's output on what the original gives. Then the next. Where training made it worse,
// the block stays as it was. A block begins rounded, or as it is in the setting's start; embedding and head stay so.
// windows: texts to match on; window w is a batch of its own. Memory, whatever the depth: one block in float32 a few
// times + two residual streams of all windows in float32. Same arguments and thread count, same bytes.
// `out` is replaced when it is complete; tokenizer_path: whose tokenizer it gets. Sources: arXiv 2407.11062
// (EfficientQAT: a block's weights and steps trained together) and 2309.05516 (AutoRound: updates by sign).
// Throws Error as ProjectedWeights and gradients() do, for a mixture of experts, and when there are no windows.
BlockwiseReport train_blockwise(const ModelFolder& model, const QuantizedTraining& setting,
                                const std::vector<TokenBatch>& windows, const BlockwiseOptions& options,
                                const std::filesystem::path& out, const std::filesystem::path& tokenizer_path,
                                const ProgressCallback& progress = {});

}  // namespace lcomp
