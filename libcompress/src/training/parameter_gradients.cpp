#include "training/parameter_gradients.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/forward/gradients.h"
#include "lcomp/forward/logit_chunks.h"

namespace lcomp {
namespace {

class AddTo : public GradientVisitor {
 public:
  AddTo(float factor, Parameters& sum) : factor_(factor), sum_(sum) {}
  bool wants_tensor(const std::string& name) override { return sum_.find(name) != nullptr; }
  void tensor_gradient(const std::string& name, std::span<const std::size_t> /*shape*/,
                       std::span<const float> gradient) override {
    const std::span<float> sum = sum_.values(name);
    parallel_chunks(0, gradient.size(), 1 << 15, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) sum[i] += factor_ * gradient[i];
    });
  }

 private:
  float factor_;
  Parameters& sum_;
};

std::vector<std::size_t> scored_tokens(const TrainingBatch& batch) {
  std::vector<std::size_t> scored;
  for (std::size_t t = 0; t < batch.weights.size(); ++t) {
    if (batch.weights[t] > 0) scored.push_back(t);
  }
  return scored;
}

// Logits of so many tokens are in memory at once.
std::size_t logit_rows(const Decoder& decoder) {
  return std::clamp<std::size_t>((std::size_t{1} << 24) / decoder.config().vocab_size, 16, 1024);
}

// Of the tokens that count; a forward pass of the teacher.
TopTokens ask(Decoder& teacher, const TrainingBatch& batch, std::size_t count) {
  const Matrix states = teacher.forward(batch.tokens);
  return top_tokens(teacher, states.view(), scored_tokens(batch), count, logit_rows(teacher));
}

// The same from the cache where it has all sequences of the batch. Otherwise all of them are asked for, so that what is
// known of a sequence doesn't depend on what else was known.
TopTokens look_up(Decoder& teacher, TeacherCache& cache, const TrainingBatch& batch, std::size_t count) {
  const TokenBatch& tokens = batch.tokens;
  std::vector<std::uint64_t> records;
  for (std::size_t s = 0; s < tokens.sequences(); ++s) {
    const std::size_t begin = tokens.offsets[s], size = tokens.offsets[s + 1] - begin;
    records.push_back(
        TeacherCache::record_key(tokens.sequence(s), std::span<const float>(batch.weights).subspan(begin, size)));
  }
  TopTokens top;
  if (std::ranges::all_of(records, [&](std::uint64_t record) { return cache.contains(record); })) {
    for (const std::uint64_t record : records) cache.read(record, top);
    return top;
  }
  const TopTokens asked = ask(teacher, batch, count);
  for (std::size_t s = 0; s < records.size(); ++s) {
    if (!cache.contains(records[s])) cache.write(records[s], asked, tokens.offsets[s], tokens.offsets[s + 1]);
    cache.read(records[s], top);
  }
  return top;
}

std::unique_ptr<LogitCost> make_cost(const TrainingBatch& batch, const TrainingCost& cost) {
  if (cost.teacher == nullptr) return std::make_unique<NextTokenCost>(batch.tokens, batch.weights);
  const std::size_t count = cost.top_tokens == 0 ? cost.teacher->config().vocab_size : cost.top_tokens;
  return std::make_unique<DistributionCost>(cost.cache != nullptr ? look_up(*cost.teacher, *cost.cache, batch, count)
                                                                  : ask(*cost.teacher, batch, count));
}

}  // namespace

double training_gradients(Decoder& decoder, const TensorSource& weights, std::span<const TrainingBatch> batches,
                          const TrainingCost& cost, Parameters& gradient) {
  const auto size = [&](const TrainingBatch& batch) {
    return cost.teacher == nullptr ? batch.total_weight : static_cast<double>(scored_tokens(batch).size());
  };
  double total = 0, mean = 0;
  for (const TrainingBatch& batch : batches) total += size(batch);
  if (!(total > 0)) throw Error({"training data", "a step in which no token has a weight", "", "give larger batches"});
  gradient.fill(0);
  GradientOptions options;
  options.weights = &weights;
  options.activations = cost.activations;
  for (const TrainingBatch& batch : batches) {
    const double share = size(batch) / total;
    if (share <= 0) continue;
    AddTo visitor(static_cast<float>(share), gradient);
    const std::unique_ptr<LogitCost> of_batch = make_cost(batch, cost);
    mean += share * gradients(decoder, batch.tokens, *of_batch, visitor, options);
  }
  return mean;
}

double next_token_loss(const ModelFolder& model, const TrainingBatch& batch) {
  Decoder decoder(model);
  NextTokenCost cost(batch.tokens, batch.weights);
  const Matrix states = decoder.forward(batch.tokens);
  return cost_of_states(decoder, states.view(), cost, logit_rows(decoder));
}

}  // namespace lcomp
