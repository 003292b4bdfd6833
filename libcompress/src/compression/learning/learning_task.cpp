#include "lcomp/compression/learning_task.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

constexpr std::size_t logit_rows = 256;  // at once

}  // namespace

LearningTask divergence_task(Decoder& original, TokenBatch batch, std::size_t top) {
  const Matrix states = original.forward(batch);
  TopTokens tokens;
  Matrix logits(std::min(logit_rows, states.rows()), original.config().vocab_size);
  std::vector<TopTokens> of_rows(logits.rows());
  for (std::size_t begin = 0; begin < states.rows(); begin += logit_rows) {
    const std::size_t count = std::min(logit_rows, states.rows() - begin);
    original.logits(states.view().rows_range(begin, count), logits.view().rows_range(0, count));
    parallel_for(0, count, [&](std::size_t i) {
      of_rows[i] = {};
      of_rows[i].add(logits.view().row(i), top);
    });
    for (std::size_t i = 0; i < count; ++i) {
      tokens.ids.insert(tokens.ids.end(), of_rows[i].ids.begin(), of_rows[i].ids.end());
      tokens.log_probabilities.insert(tokens.log_probabilities.end(), of_rows[i].log_probabilities.begin(),
                                      of_rows[i].log_probabilities.end());
      tokens.offsets.push_back(tokens.ids.size());
    }
  }
  return {std::move(batch), std::make_unique<DistributionCost>(std::move(tokens))};
}

double evaluate(Decoder& model, const LearningTask& task, const ForwardOptions& options) {
  const Matrix states = model.forward(task.batch, options);
  std::vector<std::size_t> scored;
  for (std::size_t t = 0; t < task.batch.tokens(); ++t) {
    if (task.cost->needs(t)) scored.push_back(t);
  }
  Matrix some(std::min(logit_rows, scored.size()), states.cols());
  Matrix logits(some.rows(), model.config().vocab_size);
  double cost = 0;
  for (std::size_t begin = 0; begin < scored.size(); begin += logit_rows) {
    const auto tokens =
        std::span<const std::size_t>(scored).subspan(begin, std::min(logit_rows, scored.size() - begin));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::copy_n(states.row(tokens[i]).data(), states.cols(), some.row(i).data());
    }
    model.logits(some.view().rows_range(0, tokens.size()), logits.view().rows_range(0, tokens.size()));
    cost += task.cost->add_gradient(tokens, logits.view().rows_range(0, tokens.size()));
  }
  return cost;
}

}  // namespace lcomp
