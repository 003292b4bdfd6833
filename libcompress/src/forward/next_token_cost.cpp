#include <cassert>
#include <cmath>
#include <string>

#include "forward/row_softmax.h"
#include "lcomp/core/error.h"
#include "lcomp/forward/cost.h"

namespace lcomp {

NextTokenCost::NextTokenCost(const TokenBatch& batch, std::span<const float> weights)
    : targets_(batch.tokens()), weights_(batch.tokens()) {
  if (!weights.empty() && weights.size() != batch.tokens()) {
    throw Error({"weights of the predictions", std::to_string(weights.size()) + " weights",
                 "one for each of the batch's " + std::to_string(batch.tokens()) + " tokens", ""});
  }
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    for (std::size_t t = batch.offsets[s]; t + 1 < batch.offsets[s + 1]; ++t) {
      const float weight = weights.empty() ? 1.0f : weights[t];
      if (!std::isfinite(weight) || weight < 0) {
        throw Error({"weights of the predictions", std::to_string(weight) + " at token " + std::to_string(t),
                     "a finite number of at least 0", ""});
      }
      targets_[t] = batch.ids[t + 1];
      weights_[t] = weight;
      total_ += static_cast<double>(weight);
    }
  }
}

bool NextTokenCost::needs(std::size_t token) const { return weights_.at(token) > 0; }

double NextTokenCost::add_gradient(std::span<const std::size_t> tokens, MatrixView<float> logits) {
  assert(tokens.size() == logits.rows());
  for (const std::size_t token : tokens) check_cost_id(targets_.at(token), logits.cols());
  return sum_over_rows(tokens.size(), [&](std::size_t i) {
    const std::span<float> row = logits.row(i);
    const auto target = static_cast<std::size_t>(targets_[tokens[i]]);
    const double share = static_cast<double>(weights_[tokens[i]]) / total_;
    const auto logit = static_cast<double>(row[target]);
    const RowExponentials all = exponentiate_row(row);
    // p - 1 as -(the others' sum) / sum: precise where p is all but 1.
    const double target_gradient = share * (static_cast<double>(row[target]) - all.sum) / all.sum;
    scale_row(row, static_cast<float>(share / all.sum));
    row[target] = static_cast<float>(target_gradient);
    return share * (std::log(all.sum) + (static_cast<double>(all.maximum) - logit));
  });
}

}  // namespace lcomp
