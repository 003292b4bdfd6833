#include "lcomp/training/parameter_gradients.h"

#include <algorithm>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/models/gradients.h"

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

}  // namespace

double add_gradients(Decoder& decoder, const TensorSource& weights, const TokenBatch& batch, LogitCost& cost,
                     float factor, Parameters& sum) {
  AddTo visitor(factor, sum);
  GradientOptions options;
  options.weights = &weights;
  return gradients(decoder, batch, cost, visitor, options);
}

double next_token_gradients(Decoder& decoder, const TensorSource& weights, std::span<const TrainingBatch> batches,
                            Parameters& gradient) {
  double total = 0, loss = 0;
  for (const TrainingBatch& batch : batches) total += batch.total_weight;
  if (!(total > 0)) throw Error({"training data", "a step in which no token has a weight", "", "give larger batches"});
  gradient.fill(0);
  for (const TrainingBatch& batch : batches) {
    if (batch.total_weight <= 0) continue;
    NextTokenCost cost(batch.tokens, batch.weights);
    const double share = batch.total_weight / total;
    loss += share * add_gradients(decoder, weights, batch.tokens, cost, static_cast<float>(share), gradient);
  }
  return loss;
}

double next_token_loss(const ModelFolder& model, const TrainingBatch& batch) {
  Decoder decoder(model);
  NextTokenCost cost(batch.tokens, batch.weights);
  const Matrix states = decoder.forward(batch.tokens);
  std::vector<std::size_t> scored;
  for (std::size_t t = 0; t < batch.tokens.tokens(); ++t) {
    if (cost.needs(t)) scored.push_back(t);
  }
  const std::size_t rows = std::clamp<std::size_t>((std::size_t{1} << 24) / model.config.vocab_size, 16, 1024);
  Matrix some(rows, model.config.hidden_size), logits(rows, model.config.vocab_size);
  double loss = 0;
  for (std::size_t begin = 0; begin < scored.size(); begin += rows) {
    const std::span<const std::size_t> tokens = std::span(scored).subspan(begin, std::min(rows, scored.size() - begin));
    const MatrixView<float> x = some.view().rows_range(0, tokens.size());
    const MatrixView<float> z = logits.view().rows_range(0, tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) std::ranges::copy(states.row(tokens[i]), x.row(i).begin());
    decoder.logits(x, z);
    loss += cost.add_gradient(tokens, z);
  }
  return loss;
}

}  // namespace lcomp
