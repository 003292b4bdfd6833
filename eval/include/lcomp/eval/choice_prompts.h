#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lcomp/eval/choice_protocol.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {

// One input sequence, and the tokens whose probabilities are read from the model's output.
struct ChoicePrompt {
  std::vector<TokenId> ids;
  // The tokens that the last targets.size() positions predict, in order. With `alternatives`: the labels, all of which
  // the last position predicts.
  std::vector<TokenId> targets;
  bool alternatives = false;

  std::size_t scored_positions() const { return alternatives ? 1 : targets.size(); }
};

struct PreparedQuestion {
  ChoiceQuestion question;
  std::vector<ChoicePrompt> prompts;  // a single prompt with alternatives, or one prompt per choice
  bool too_long = false;              // a prompt exceeds the context: the question is not scored
  std::size_t tokens() const;         // length of the longest prompt
};

// A choice task after tokenization.
struct ChoiceTask {
  ChoiceProtocol protocol;
  std::string description;  // readable text for tables and reports
  std::string key;          // hash of all prompts: equal keys give the same numbers for the same model
  std::vector<PreparedQuestion> questions;
  // Questions groups[g] ... groups[g + 1] - 1 go through the model together: about 16,384 tokens, where tokens that
  // neighbouring prompts share count once.
  std::vector<std::size_t> groups;
};

// Tokenizes a task. A label that is one token after "Answer:" is scored by its logit at the last position. Where a
// label of a question takes several tokens, all labels of that question are scored as continuations: by the sum of the
// log-likelihoods of the tokens of context + continuation that follow the first n, n being the number of tokens of the
// context alone (as in lm-evaluation-harness). Questions longer than `max_positions` (0: no limit) are marked, never
// cut. Throws Error as read_choice_set does, and for a choice that adds no token.
ChoiceTask make_choice_task(const ChoiceProtocol& protocol, const Tokenizer& tokenizer, std::size_t max_positions,
                            const std::string& data);

// The input batch for a group of questions.
struct PackedPrompts {
  TokenBatch batch;
  std::vector<const ChoicePrompt*> prompts;
  std::vector<std::size_t> last_rows;  // [prompts] the row of each prompt's last position
};

// Concatenates the prompts of questions [begin, end) without padding. With `share`, the common beginning of all prompts
// of a subject, or of all prompts of a question, becomes a prefix that is computed once; the kind of prefix is the one
// that saves more tokens.
PackedPrompts pack_prompts(const ChoiceTask& task, std::size_t begin, std::size_t end, const DecoderConfig& config,
                           bool share);

}  // namespace lcomp
