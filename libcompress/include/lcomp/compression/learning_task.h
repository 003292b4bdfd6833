#pragma once

#include <cstddef>
#include <memory>

#include "lcomp/forward/cost.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// Token sequences, and what a model costs on them.
struct LearningTask {
  TokenBatch batch;
  std::unique_ptr<LogitCost> cost;
};

// KL(original || model), mean over all tokens of the batch. `top`: tokens of the original's distribution that are kept
// apart; all others count as one (DistributionCost). Logits are made for some hundred tokens at a time. Throws as
// Decoder::forward().
LearningTask divergence_task(Decoder& original, TokenBatch batch, std::size_t top = 256);

// The cost of a model on a task; a forward pass. NaN where the model is broken.
double evaluate(Decoder& model, const LearningTask& task, const ForwardOptions& options = {});

}  // namespace lcomp
