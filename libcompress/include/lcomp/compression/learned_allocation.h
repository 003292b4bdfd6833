#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/compression/compress_model.h"
#include "lcomp/compression/compression_plan.h"
#include "lcomp/core/progress.h"
#include "lcomp/forward/cost.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Learned bit allocation: gradient descent on the cost of the compressed model itself.

// Texts, and what a model costs on them.
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

struct LearningOptions {
  std::vector<LearningTask> training;  // parts of about the same size; how much their gradients differ tells the noise
  LearningTask held_out;
  std::string description;  // of the texts, for the record
  int rounds = 6;           // the most; the first is the start
  double rate = 0.7;        // of Newton's step
};

// What is learned of one component: settings of its quantizer.
struct LearnedSteps {
  double offset = 0;                                    // of precision
  std::optional<double> row_exponent, column_exponent;  // of rate-coded components with such steps
};

// One round: what was compressed, and what it cost.
struct LearningRound {
  std::map<std::string, LearnedSteps> steps;  // by component
  std::uint64_t bytes = 0;
  double training_cost = 0, held_out_cost = 0;
  // Root mean square of log2 of the components' prices over the mean: 0 at the optimum. Nothing for a round that is no
  // better than one before or that none follows: gradients would serve nothing.
  std::optional<double> price_spread;
};
// [{"bytes", "training_cost", "held_out_cost", "price_spread"}], without steps
nlohmann::json to_json(const std::vector<LearningRound>& rounds);

// Compresses rate-coded or banded components so that the true cost of the whole model, not its second-order model, is
// least for the plan's size; `plan.allocator` is "learned". From allocator second_order the log2 steps of the
// components, and how far those of rows and columns are spread, are descended on:
//   D_c = <dC / dW^_c, W^_c - W_c> = dC / d ln step_c           the cost C of the compressed model, by a backward pass:
//                                                              errors are proportional to steps
//   R_c = d bits_c / d precision_c                             by RateCurve; of bands the weights that have bits
//   offset_c += rate / 2 log2((D_c / R_c) / (sum D / sum R))   limited to +-0.7 rate, and of prices below a tenth;
//                                                              logarithms are drawn together, to their mean over the
//                                                              layers, by the share of their variance that is noise
//                                                              (James and Stein): as the parts of the texts tell it
//   exponent -= rate sum_c imbalance_c / (2 ln 2 sum_c D_c variance_c)   of rows and of columns (StepPrices), limited
//                                                              to +-0.25; one for all layers, since the gradient of
//                                                              some thousand tokens says little about one weight's
// Where the training texts have less than a fifth of the vocabulary, an embedding, tied or not, moves by as much less,
// and its row exponent not at all: errors of rows that these texts lack cost other texts. These are Newton's steps for
// errors that cost their square; the
// common precision, the multiplier of the bytes, is found anew (RateBudget; of bands the knapsack, costs times
// 4^offset). Each round compresses the whole model, with feedback and coding, so that nothing stands in for rounding.
// After a round that costs the held-out texts no less, the next goes half as far from the best; after two such rounds,
// or when the rounds are used up, learning stops and keeps the
// round with the least. The plan of the result is an ordinary one of allocator second_order with an "offset" and
// exponents for each component, and makes the same model again. options.work is needed: finished rounds are kept there,
// and after kill -9 the same call goes on within the round. Time: a compression and gradients() on the training texts a
// round, in the last a forward pass. Memory: the larger of both. Throws Error for a plan without a target, or with
// components of open width; as compress_model() and gradients(), where a weight, a cost or a gradient is not finite;
// and for a learning of other arguments in options.work unless options.replace.
struct LearnedCompression {
  CompressionReport report;
  CompressionPlan plan;  // with what was learned
  std::vector<LearningRound> rounds;
  std::size_t best = 0;  // index into rounds
};
LearnedCompression compress_learned(const ModelFolder& model, const CompressionPlan& plan,
                                    const std::filesystem::path& out, const CompressOptions& options,
                                    const LearningOptions& learning, const ProgressCallback& progress = {});

}  // namespace lcomp
