#include "lcomp/eval/text_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"

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

void gather(ConstMatrixView from, std::span<const std::size_t> rows, Matrix& to) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto row = from.row(rows[i]);
    std::copy(row.begin(), row.end(), to.row(i).begin());
  }
}

TokenScores score_tokens(Decoder& model, ConstMatrixView normed, const ScoringBatch& batch,
                         const ReferenceStates& reference, const ForwardOptions& options) {
  const ScoredRows scored = scored_rows(batch);
  const bool with_reference = reference.decoder != nullptr;
  const std::size_t vocab = model.config().vocab_size;
  TokenScores scores;
  scores.nll.resize(scored.rows.size());
  if (with_reference) scores.kl.resize(scored.rows.size());
  std::vector<char> same_top(scored.rows.size(), 0);

  Matrix states(kRowsAtOnce, normed.cols());
  Matrix logits(kRowsAtOnce, vocab);
  Matrix reference_states;
  Matrix reference_logits;
  if (with_reference) {
    reference_states = Matrix(kRowsAtOnce, reference.normed->cols());
    reference_logits = Matrix(kRowsAtOnce, vocab);
  }
  Progress progress(options.progress, options.progress_label + ": scoring", scored.rows.size());
  for (std::size_t first = 0; first < scored.rows.size(); first += kRowsAtOnce) {
    const std::size_t count = std::min(kRowsAtOnce, scored.rows.size() - first);
    const auto rows = std::span(scored.rows).subspan(first, count);
    gather(normed, rows, states);
    model.logits(states.view().rows_range(0, count), logits.view().rows_range(0, count));
    if (with_reference) {
      gather(reference.normed->view(), rows, reference_states);
      reference.decoder->logits(reference_states.view().rows_range(0, count),
                                reference_logits.view().rows_range(0, count));
    }
    parallel_for(0, count, [&](std::size_t i) {
      const auto row = std::as_const(logits).row(i);
      scores.nll[first + i] = negative_log_likelihood(row, scored.targets[first + i]);
      if (with_reference) {
        const Divergence token = divergence(std::as_const(reference_logits).row(i), row);
        scores.kl[first + i] = token.kl;
        same_top[first + i] = token.same_top ? 1 : 0;
      }
    });
    progress.advance(count);
  }
  scores.same_top = static_cast<std::size_t>(std::count(same_top.begin(), same_top.end(), 1));
  return scores;
}

PerplexityResult perplexity(const ScoringBatch& batch, const std::vector<double>& nll) {
  PerplexityResult result;
  result.scored_tokens = nll.size();
  double sum_of_perplexities = 0;
  std::size_t at = 0;
  for (std::size_t s = 0; s < batch.tokens.sequences(); ++s) {
    const std::size_t count = batch.tokens.sequence(s).size() - batch.first_scored;
    const double sum = std::accumulate(nll.begin() + static_cast<std::ptrdiff_t>(at),
                                       nll.begin() + static_cast<std::ptrdiff_t>(at + count), 0.0);
    at += count;
    result.sequence_nll.push_back(sum / static_cast<double>(count));
    sum_of_perplexities += std::exp(result.sequence_nll.back());
  }
  result.mean_nll = std::accumulate(nll.begin(), nll.end(), 0.0) / static_cast<double>(nll.size());
  result.perplexity_of_mean = std::exp(result.mean_nll);
  result.perplexity = batch.mean_over_sequences ? sum_of_perplexities / static_cast<double>(batch.tokens.sequences())
                                                : result.perplexity_of_mean;
  return result;
}

}  // namespace

TextScores score_texts(Decoder& model, const ScoringBatch& batch, const ReferenceStates& reference,
                       const ForwardOptions& options) {
  if (reference.decoder != nullptr && reference.decoder->config().vocab_size != model.config().vocab_size) {
    throw Error({model.model().path.string(), fmt::format("a vocabulary of {}", model.config().vocab_size),
                 fmt::format("{}, as in the reference {}", reference.decoder->config().vocab_size,
                             reference.decoder->model().path.string()),
                 "KL divergence needs two models with the same tokens"});
  }
  const Matrix normed = model.forward(batch.tokens, options);
  const TokenScores tokens = score_tokens(model, normed.view(), batch, reference, options);
  TextScores scores;
  scores.perplexity = perplexity(batch, tokens.nll);
  if (reference.decoder != nullptr) {
    scores.divergence =
        KlResult{summarize(tokens.kl), static_cast<double>(tokens.same_top) / static_cast<double>(tokens.kl.size()),
                 tokens.kl.size()};
  }
  return scores;
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
          {"top1_agreement", result.top1_agreement},
          {"scored_tokens", result.scored_tokens}};
}

}  // namespace lcomp
