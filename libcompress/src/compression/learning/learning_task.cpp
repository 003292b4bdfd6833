#include "lcomp/compression/learning_task.h"

#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "lcomp/forward/logit_chunks.h"

namespace lcomp {
namespace {

constexpr std::size_t logit_rows = 256;  // at once

}  // namespace

LearningTask divergence_task(Decoder& original, TokenBatch batch, std::size_t top) {
  const Matrix states = original.forward(batch);
  std::vector<std::size_t> all(batch.tokens());
  std::iota(all.begin(), all.end(), std::size_t{0});
  auto cost = std::make_unique<DistributionCost>(top_tokens(original, states.view(), all, top, logit_rows));
  return {std::move(batch), std::move(cost)};
}

double evaluate(Decoder& model, const LearningTask& task, const ForwardOptions& options) {
  return cost_of_states(model, model.forward(task.batch, options).view(), *task.cost, logit_rows);
}

}  // namespace lcomp
