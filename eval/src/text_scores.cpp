#include "lcomp/eval/text_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/forward/logit_chunks.h"

namespace lcomp {
namespace {

constexpr std::size_t kRowsAtOnce = 128;  // logits of so many positions are in memory: 128 x 49,152 float32 are 24 MiB

struct TokenScores {
  std::vector<double> nll;  // [scored tokens], in order
  std::vector<double> kl;   // same, with a reference
  std::size_t same_top = 0;
};

// The rows of the forward pass whose logits predict a scored position, and the tokens that they should predict.
struct ScoredRows {
  std::vector<std::size_t> rows;
  std::vector<std::size_t> targets;
};

ScoredRows scored_rows(const ScoringBatch& batch) {
  ScoredRows scored;
  for (std::size_t s = 0; s < batch.tokens.sequences(); ++s) {
    for (std::size_t row = batch.tokens.offsets[s] + batch.first_scored; row < batch.tokens.offsets[s + 1]; ++row) {
      scored.rows.push_back(row - 1);
      scored.targets.push_back(static_cast<std::size_t>(batch.tokens.ids[row]));
    }
  }
  return scored;
}

TokenScores score_tokens(Decoder& model, const Matrix& states, const ScoringBatch& batch,
                         const ReferenceStates& reference, const ForwardOptions& options) {
  const std::vector<std::size_t> targets = scored_rows(batch).targets;
  const bool with_reference = reference.decoder != nullptr;
  TokenScores scores;
  scores.nll.resize(targets.size());
  if (with_reference) scores.kl.resize(targets.size());
  std::vector<char> same_top(targets.size(), 0);

  Matrix reference_logits;
  if (with_reference) reference_logits = Matrix(kRowsAtOnce, model.config().vocab_size);
  Progress progress(options.progress, options.progress_label + ": scoring", targets.size());
  for_each_logits(model, states.view(), kRowsAtOnce, [&](std::size_t first, ConstMatrixView logits) {
    const std::size_t count = logits.rows();
    if (with_reference) {
      reference.decoder->logits(reference.states->view().rows_range(first, count),
                                reference_logits.view().rows_range(0, count));
    }
    parallel_for(0, count, [&](std::size_t i) {
      const auto row = logits.row(i);
      scores.nll[first + i] = negative_log_likelihood(row, targets[first + i]);
      if (with_reference) {
        const Divergence token = divergence(std::as_const(reference_logits).row(i), row);
        scores.kl[first + i] = token.kl;
        same_top[first + i] = token.same_top ? 1 : 0;
      }
    });
    progress.advance(count);
  });
  scores.same_top = static_cast<std::size_t>(std::count(same_top.begin(), same_top.end(), 1));
  return scores;
}

// Means over the scored tokens of each sequence.
std::vector<double> sequence_means(const ScoringBatch& batch, const std::vector<double>& values) {
  std::vector<double> means;
  auto at = values.begin();
  for (std::size_t s = 0; s < batch.tokens.sequences(); ++s) {
    const auto count = static_cast<std::ptrdiff_t>(batch.tokens.sequence(s).size() - batch.first_scored);
    means.push_back(std::accumulate(at, at + count, 0.0) / static_cast<double>(count));
    at += count;
  }
  return means;
}

PerplexityResult perplexity(const ScoringBatch& batch, const std::vector<double>& nll) {
  PerplexityResult result;
  result.scored_tokens = nll.size();
  result.sequence_nll = sequence_means(batch, nll);
  double sum_of_perplexities = 0;
  for (const double mean : result.sequence_nll) sum_of_perplexities += std::exp(mean);
  result.mean_nll = std::accumulate(nll.begin(), nll.end(), 0.0) / static_cast<double>(nll.size());
  result.perplexity_of_mean = std::exp(result.mean_nll);
  result.perplexity = batch.mean_over_sequences ? sum_of_perplexities / static_cast<double>(batch.tokens.sequences())
                                                : result.perplexity_of_mean;
  return result;
}

}  // namespace

Matrix scored_states(Decoder& model, const ScoringBatch& batch, const ForwardOptions& options) {
  const Matrix normed = model.forward(batch.tokens, options);
  const std::vector<std::size_t> rows = scored_rows(batch).rows;
  Matrix states(rows.size(), normed.cols());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto row = normed.row(rows[i]);
    std::copy(row.begin(), row.end(), states.row(i).begin());
  }
  return states;
}

TextScores score_states(Decoder& model, const Matrix& states, const ScoringBatch& batch,
                        const ReferenceStates& reference, const ForwardOptions& options) {
  if (reference.decoder != nullptr && reference.decoder->config().vocab_size != model.config().vocab_size) {
    throw Error({model.model().path.string(), fmt::format("a vocabulary of {}", model.config().vocab_size),
                 fmt::format("{}, as in the reference {}", reference.decoder->config().vocab_size,
                             reference.decoder->model().path.string()),
                 "KL divergence needs two models with the same tokens"});
  }
  const TokenScores tokens = score_tokens(model, states, batch, reference, options);
  TextScores scores;
  scores.perplexity = perplexity(batch, tokens.nll);
  if (reference.decoder != nullptr) {
    scores.divergence =
        KlResult{summarize(tokens.kl), sequence_means(batch, tokens.kl),
                 static_cast<double>(tokens.same_top) / static_cast<double>(tokens.kl.size()), tokens.kl.size()};
  }
  return scores;
}

TextScores score_texts(Decoder& model, const ScoringBatch& batch, const ReferenceStates& reference,
                       const ForwardOptions& options) {
  return score_states(model, scored_states(model, batch, options), batch, reference, options);
}

nlohmann::json to_json(const PerplexityResult& result) {
  return {{"perplexity", result.perplexity},
          {"mean_nll", result.mean_nll},
          {"perplexity_of_mean_nll", result.perplexity_of_mean},
          {"scored_tokens", result.scored_tokens},
          {"nll_per_sequence", result.sequence_nll}};
}

nlohmann::json to_json(const KlResult& result) {
  return {{"kl_mean", result.kl.mean},
          {"kl_median", result.kl.median},
          {"kl_p99", result.kl.p99},
          {"kl_max", result.kl.maximum},
          {"kl_per_sequence", result.sequence_kl},
          {"top1_agreement", result.top1_agreement},
          {"scored_tokens", result.scored_tokens}};
}

}  // namespace lcomp
