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
  double perplexity = 0;             // as the protocol averages it
  double mean_nll = 0;               // over all scored tokens, nats
  double perplexity_of_mean = 0;     // exp(mean_nll)
  std::vector<double> sequence_nll;  // mean over the scored tokens of each sequence
  std::size_t scored_tokens = 0;
};

struct KlResult {
  Distribution kl;                  // over scored tokens, nats
  std::vector<double> sequence_kl;  // mean over the scored tokens of each sequence
  double top1_agreement = 0;        // share of scored tokens whose most likely token is the original's
  std::size_t scored_tokens = 0;
};

struct TextScores {
  PerplexityResult perplexity;
  std::optional<KlResult> divergence;  // when there is a reference
};

// What the head makes the logits of a batch's scored positions from: the states after the final norm of the rows that
// predict them, in order. [batch.scored_tokens(), hidden]
Matrix scored_states(Decoder& model, const ScoringBatch& batch, const ForwardOptions& options);

// An original to compare with: its model, for the head, and its scored_states() of the same batch, from a forward pass
// or from reference_cache.h. States are kept instead of logits: hidden_size values a token in place of vocab_size, from
// which the head makes the logits again, exactly.
struct ReferenceStates {
  Decoder* decoder = nullptr;
  const Matrix* states = nullptr;
};

// Scores a model from its scored_states(); with `reference`, its divergence from it too. Logits are made for some rows
// at a time, never all. Throws Error when the vocabularies differ in size.
TextScores score_states(Decoder& model, const Matrix& states, const ScoringBatch& batch,
                        const ReferenceStates& reference, const ForwardOptions& options);

// The same after one forward pass of `model` over the batch.
TextScores score_texts(Decoder& model, const ScoringBatch& batch, const ReferenceStates& reference,
                       const ForwardOptions& options);

nlohmann::json to_json(const PerplexityResult& result);
nlohmann::json to_json(const KlResult& result);

}  // namespace lcomp
