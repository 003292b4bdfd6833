#include "training/parameter_gradients.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/forward/gradients.h"

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

// Calls visit(tokens, logits) for chunks of these tokens.
template <typename Visit>
void for_each_logits(Decoder& decoder, const Matrix& states, std::span<const std::size_t> scored, const Visit& visit) {
  const std::size_t vocab = decoder.config().vocab_size;
  const std::size_t rows = std::clamp<std::size_t>((std::size_t{1} << 24) / vocab, 16, 1024);
  Matrix some(rows, states.cols()), logits(rows, vocab);
  for (std::size_t begin = 0; begin < scored.size(); begin += rows) {
    const std::span<const std::size_t> tokens = scored.subspan(begin, std::min(rows, scored.size() - begin));
    const MatrixView<float> x = some.view().rows_range(0, tokens.size());
    const MatrixView<float> z = logits.view().rows_range(0, tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) std::ranges::copy(states.row(tokens[i]), x.row(i).begin());
    decoder.logits(x, z);
    visit(tokens, z);
  }
}

// Of the tokens that count; a forward pass of the teacher.
TopTokens ask(Decoder& teacher, const TrainingBatch& batch, std::size_t count) {
  const Matrix states = teacher.forward(batch.tokens);
  TopTokens top;
  for_each_logits(teacher, states, scored_tokens(batch),
                  [&](std::span<const std::size_t> tokens, ConstMatrixView logits) {
                    for (std::size_t i = 0; i < tokens.size(); ++i) {
                      while (top.tokens() < tokens[i]) top.add_none();
                      top.add(logits.row(i), count);
                    }
                  });
  while (top.tokens() < batch.tokens.tokens()) top.add_none();
  return top;
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
  const std::vector<std::size_t> scored = scored_tokens(batch);
  double loss = 0;
  for_each_logits(decoder, states, scored, [&](std::span<const std::size_t> tokens, MatrixView<float> logits) {
    loss += cost.add_gradient(tokens, logits);
  });
  return loss;
}

}  // namespace lcomp
