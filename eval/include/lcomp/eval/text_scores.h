#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/core/progress.h"
#include "lcomp/eval/text_protocol.h"
#include "lcomp/eval/token_metrics.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

struct PerplexityResult {
  double perplexity = 0;             // averaged as the protocol says
  double mean_nll = 0;               // mean over all scored tokens, in nats
  double perplexity_of_mean = 0;     // exp(mean_nll)
  std::vector<double> sequence_nll;  // mean over the scored tokens of each sequence
  std::size_t scored_tokens = 0;
};

struct KlResult {
  Distribution kl;                  // distribution over the scored tokens, in nats
  std::vector<double> sequence_kl;  // mean over the scored tokens of each sequence
  double top1_agreement = 0;        // fraction of scored positions where both models have the same most likely token
  std::size_t scored_tokens = 0;
};

struct TextScores {
  PerplexityResult perplexity;
  std::optional<KlResult> divergence;  // present when a reference was given
};

// Hidden states after the final norm at the positions that predict the scored tokens, in order: the output head
// computes the logits from them. [batch.scored_tokens(), hidden]
Matrix scored_states(Decoder& model, const ScoringBatch& batch, const ForwardOptions& options);

// The uncompressed model as reference: its decoder, for the output head, and its scored_states() of the same batch,
// from a forward pass or from reference_cache.h. States are stored instead of logits because they hold hidden_size
// values per token, not vocab_size; the head recomputes the logits exactly.
struct ReferenceStates {
  Decoder* decoder = nullptr;
  const Matrix* states = nullptr;
};

// Scores a model from its scored_states(); with `reference`, also its KL divergence from the reference. Logits are
// computed for a few rows at a time. Throws Error when the vocabularies differ in size.
TextScores score_states(Decoder& model, const Matrix& states, const ScoringBatch& batch,
                        const ReferenceStates& reference, const ForwardOptions& options);

// Runs `model` over the batch once and scores it as score_states() does.
TextScores score_texts(Decoder& model, const ScoringBatch& batch, const ReferenceStates& reference,
                       const ForwardOptions& options);

nlohmann::json to_json(const PerplexityResult& result);
nlohmann::json to_json(const KlResult& result);

}  // namespace lcomp
