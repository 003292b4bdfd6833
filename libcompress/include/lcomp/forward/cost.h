#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// A number that says how good a model's logits are, as a mean over tokens of a batch; the backward pass starts from its
// gradient. Tokens are numbered through the batch (TokenBatch::ids). Natural logarithms. All costs below: float32
// exponentials, sums and logarithms in double; rows are shared out over the threads, and neither their number nor the
// way in which tokens are grouped into calls changes a gradient by a bit. A logit that is NaN gives a cost of NaN.
class LogitCost {
 public:
  virtual ~LogitCost() = default;
  // Whether the cost depends on the logits at this token; the others are left out.
  virtual bool needs(std::size_t token) const = 0;
  // logits: [tokens.size(), vocab], row i at token tokens[i], after the final soft cap; needs() holds for each.
  // Replaces them by the gradient of the cost with respect to them, and returns the share of the cost that these tokens
  // add: summed over all tokens, once each, it is the cost. Throws Error for an id that the vocabulary does not have.
  virtual double add_gradient(std::span<const std::size_t> tokens, MatrixView<float> logits) = 0;
};

// Mean cross entropy of every token of a sequence given the ones before it:
//   sum_t w_t (-log softmax(logits_t)[ids[t + 1]]) / sum_t w_t,   t: all but the last token of each sequence.
class NextTokenCost : public LogitCost {
 public:
  // weights: [batch.tokens()], w_t >= 0 of the prediction made at token t; empty: all 1. The batch is not kept. Throws
  // Error when their number is another, or one of them is negative or not finite.
  explicit NextTokenCost(const TokenBatch& batch, std::span<const float> weights = {});
  bool needs(std::size_t token) const override;
  double add_gradient(std::span<const std::size_t> tokens, MatrixView<float> logits) override;

 private:
  std::vector<std::int32_t> targets_;  // [tokens]
  std::vector<float> weights_;         // [tokens]; 0: no prediction
  double total_ = 0;                   // of the weights
};

// For each token of a batch, the most likely next tokens under some model: ids[offsets[t]] ... ids[offsets[t + 1] - 1],
// each once, with the natural logarithm of its probability.
struct TopTokens {
  std::vector<std::size_t> offsets = {0};
  std::vector<std::int32_t> ids;
  std::vector<float> log_probabilities;

  std::size_t tokens() const { return offsets.size() - 1; }
  // Appends a token: the `count` largest of its logits (all, when there are fewer; of equal ones the lowest ids).
  void add(std::span<const float> logits, std::size_t count);
  void add_none() { offsets.push_back(ids.size()); }  // a token without a cost
};

// Mean over tokens of KL(p || q), p the original's distribution and q the model's, where all ids that are not among the
// token's top ones count as one: with p_r and q_r their sums,
//   KL = sum_k p_k (log p_k - log q_k) + p_r (log p_r - log q_r)  <=  the divergence of the whole distributions,
// equal when all ids are given. dKL / dz_j = q_j - p_j for a top id, q_j (1 - p_r / q_r) for any other.
class DistributionCost : public LogitCost {
 public:
  // Throws Error when the lists differ in length, an id comes twice for a token, a logarithm is positive or NaN, or the
  // probabilities of a token add up to more than 1.001.
  explicit DistributionCost(TopTokens original);
  bool needs(std::size_t token) const override;
  double add_gradient(std::span<const std::size_t> tokens, MatrixView<float> logits) override;

 private:
  TopTokens original_;
  double scored_ = 0;  // tokens
};

// A question whose answer is one of a few tokens (the letters A-D).
struct Choice {
  std::size_t token = 0;  // the answer comes after this one
  std::vector<std::int32_t> candidates;
  std::size_t answer = 0;  // index into candidates
};

// Mean over questions of the cross entropy among the candidates alone: -log softmax(logits_t[candidates])[answer].
class ChoiceCost : public LogitCost {
 public:
  // Throws Error when a question has no candidates, one of them twice, an answer that is none of them, or the token of
  // another question.
  explicit ChoiceCost(std::vector<Choice> choices);
  bool needs(std::size_t token) const override;
  double add_gradient(std::span<const std::size_t> tokens, MatrixView<float> logits) override;

 private:
  const Choice* find(std::size_t token) const;
  std::vector<Choice> choices_;  // ordered by token
};

// Mean cross entropy with labels drawn from the model's own distribution p: at every token the gradient is
//   (p - mean over draws of onehot(label)) / tokens,
// whose mean over labels is 0 and whose covariance is that of the labels, (diag(p) - p p^T) / draws: the Fisher
// information, which is the Hessian of the KL divergence. Squared gradients of weights and outputs estimate it (times
// draws / tokens^2). The cost itself estimates the mean entropy.
// The labels of a token depend on the seed, the token's number and its logits alone.
class SampledLabelCost : public LogitCost {
 public:
  // All tokens of a batch of `tokens`. Throws Error when draws is 0.
  SampledLabelCost(std::size_t tokens, std::uint64_t seed, std::size_t draws = 1);
  bool needs(std::size_t token) const override;
  double add_gradient(std::span<const std::size_t> tokens, MatrixView<float> logits) override;

 private:
  std::size_t tokens_;
  std::uint64_t seed_;
  std::size_t draws_;
};

}  // namespace lcomp
