#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/compression/compress_model.h"
#include "lcomp/compression/compression_plan.h"
#include "lcomp/compression/learned_steps.h"
#include "lcomp/compression/learning_task.h"
#include "lcomp/core/progress.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

struct LearningOptions {
  // Parts of the training set, of about the same size. How much their gradients differ tells how noisy these are.
  std::vector<LearningTask> training;
  LearningTask validation;  // decides which round is kept, and when learning stops
  std::string description;  // of training and validation set, for the record
  int rounds = 6;           // the most; the first is the start
  double rate = 0.7;        // of Newton's step
};

// One round: what was compressed, and what it cost.
struct LearningRound {
  std::map<std::string, LearnedSteps> steps;  // by component
  std::uint64_t bytes = 0;
  double training_cost = 0, validation_cost = 0;
  // How far the components are from one Lagrange multiplier: root mean square of log2 of a component's cost per bit
  // over the model's. Nothing for a round that is no better than one before or that none follows, where gradients would
  // serve nothing.
  std::optional<double> multiplier_spread;
};
// [{"bytes", "training_cost", "held_out_cost" (validation), "price_spread" (multiplier_spread)}], without steps
nlohmann::json to_json(const std::vector<LearningRound>& rounds);

struct LearnedCompression {
  CompressionReport report;
  // What was learned, as an ordinary plan of allocator second_order with an "offset" and exponents for each component.
  // It makes the same model again.
  CompressionPlan plan;
  std::vector<LearningRound> rounds;
  std::size_t best = 0;  // index into rounds
};

// Learned bit allocation: gradient descent on the cost C of the compressed model itself, at the size of the plan. It
// starts from allocator second_order, whose second-order model of the cost it corrects.
//
// A round compresses the whole model with error compensation and entropy coding, so that nothing stands in for
// rounding; measures it on the validation set; and by a backward pass on the training set finds for each component c
//   D_c = <dC / dW^_c, W^_c - W_c> = dC / d ln step_c    (errors are proportional to steps)
//   R_c = d bits_c / d precision_c                       (RateCurve; of banded components the weights that have bits)
// At the optimum D_c / R_c is the same for all components: the Lagrange multiplier of the byte budget. With errors
// whose cost goes with their square, Newton's step towards that is
//   offset_c += rate / 2 log2((D_c / R_c) / (sum D / sum R))
//   exponent -= rate sum_c imbalance_c / (2 ln 2 sum_c D_c variance_c)      of rows and of columns (StepDerivatives)
// The budget then finds the common precision anew (RateBudget; of banded components the knapsack, with costs times
// 4^offset).
//
// Limits. An offset moves by at most 0.7 rate; D_c / R_c below a tenth of the mean counts as a tenth. An exponent moves
// by at most 0.25. The logarithms of components at the same place in different layers are drawn to their mean by the
// share of noise in their variance (James and Stein), which the parts of the training set tell; exponents are common to
// them, since the gradient of some thousand tokens says little about one weight's. An embedding, tied or not, moves by
// less where the training set has less than a fifth of the vocabulary, in proportion, and its row exponent not at all:
// errors of rows that are missing there cost other data.
//
// After a round that is no better on the validation set, the next goes half as far from the best. After two such
// rounds, or when the rounds are used up, learning stops and keeps the best.
//
// plan: of allocator "learned", with a target, its open components rate-coded or banded. options.work is needed:
// finished rounds are kept there, and after kill -9 the same call goes on within the round. Time of a round: a
// compression and gradients() on the training set; of the last, a forward pass in their place. Memory: the larger of
// both, and at most 2 GiB of factored Hessians, which all rounds share; those that don't fit are found anew, some six
// times a round. Throws Error for another plan; as compress_model() and gradients(), where a weight, a cost or a
// gradient is not finite; and for other unfinished work in options.work as Workspace::claim().
LearnedCompression compress_learned(const ModelFolder& model, const CompressionPlan& plan,
                                    const std::filesystem::path& out, const CompressOptions& options,
                                    const LearningOptions& learning, const ProgressCallback& progress = {});

}  // namespace lcomp
