#include "forward/experts.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "forward/token_chunks.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
void choose_experts(ConstMatrixView logits, std::size_t first_token, std::size_t experts_per_token,
                    std::vector<ExpertTokens>& experts) {
  std::vector<std::size_t> order(logits.cols());
  for (std::size_t i = 0; i < logits.rows(); ++i) {
    const std::span<const float> row = logits.row(i);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return row[a] > row[b]; });
    double sum = 0;
    for (std::size_t k = 0; k < experts_per_token; ++k)
      sum += std::exp(static_cast<double>(row[order[k]]) - row[order[0]]);
    for (std::size_t k = 0; k < experts_per_token; ++k) {
      ExpertTokens& chosen = experts[order[k]];
      chosen.tokens.push_back(first_token + i);
      chosen.shares.push_back(static_cast<float>(std::exp(static_cast<double>(row[order[k]]) - row[order[0]]) / sum));
    }
  }
}

void run_experts(const DecoderConfig& config, const RouterWeights& weights,
                 const std::function<const MlpWeights&(std::size_t)>& expert, MatrixMultiplier& multiplier,
                 BlockVisitor* visitor, std::size_t layer, const BlockSlices& slices, ChunkBuffers& buffers,
                 MatrixView<float> states) {
  const std::size_t tokens = states.rows(), hidden = states.cols();
  Matrix normed(tokens, hidden);
  normalize(config.norm, config.norm_epsilon, weights.input_norm, states, normed.view());
  std::vector<ExpertTokens> assignments(config.num_experts);
  InputReport report{visitor, layer, &slices};
  const std::size_t rows = std::min(chunk_tokens, tokens);
  Matrix logits(rows, config.num_experts), gathered(rows, hidden), update(rows, hidden);
  for (std::size_t begin = 0; begin < tokens; begin += chunk_tokens) {
    const std::size_t count = std::min(chunk_tokens, tokens - begin);
    report.first_token = begin;
    report({&slices.router}, normed.view().rows_range(begin, count));
    multiplier.multiply(normed.view().rows_range(begin, count), weights.router, logits.view().rows_range(0, count));
    choose_experts(logits.view().rows_range(0, count), begin, config.experts_per_token, assignments);
  }
  for (std::size_t e = 0; e < config.num_experts; ++e) {
    const ExpertTokens& assignment = assignments[e];
    if (assignment.tokens.empty()) continue;
    const MlpWeights& mlp = expert(e);
    for (std::size_t begin = 0; begin < assignment.tokens.size(); begin += chunk_tokens) {
      const std::size_t count = std::min(chunk_tokens, assignment.tokens.size() - begin);
      const std::span<const std::size_t> chosen = std::span(assignment.tokens).subspan(begin, count);
      const std::size_t grain = std::max<std::size_t>(1, 16384 / hidden);
      parallel_for(
          0, count, [&](std::size_t i) { std::copy_n(normed.row(chosen[i]).data(), hidden, gathered.row(i).data()); },
          grain);
      report.expert_tokens = chosen;
      const MatrixView<float> out = update.view().rows_range(0, count);
      compute_mlp(config, mlp, slices.experts[e], multiplier, report, buffers, gathered.view().rows_range(0, count),
                  out);
      parallel_for(
          0, count,
          [&](std::size_t i) {
            const float share = assignment.shares[begin + i];
            float* state = states.row(chosen[i]).data();
            for (std::size_t j = 0; j < hidden; ++j) state[j] += share * out(i, j);
          },
          grain);
    }
  }
}

}  // namespace lcomp
