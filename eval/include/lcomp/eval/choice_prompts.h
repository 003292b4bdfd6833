#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lcomp/eval/choice_protocol.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {

// A sequence that the model is given, and what is read off it.
struct ChoicePrompt {
  std::vector<TokenId> ids;
  // Tokens predicted by the last targets.size() positions, in order; or, where `alternatives`, the labels, all
  // predicted by the last position.
  std::vector<TokenId> targets;
  bool alternatives = false;

  std::size_t scored_positions() const { return alternatives ? 1 : targets.size(); }
};

struct PreparedQuestion {
  ChoiceQuestion question;
  std::vector<ChoicePrompt> prompts;  // one with alternatives, or one for each choice
  bool too_long = false;              // some prompt exceeds the context: the question is not scored
  std::size_t tokens() const;         // of the longest prompt
};

// A task ready for a model.
struct ChoiceTask {
  ChoiceProtocol protocol;
  std::string description;  // for people
  std::string key;          // hash of all prompts: equal keys give the same numbers for the same model
  std::vector<PreparedQuestion> questions;
  // Questions groups[g] ... groups[g + 1] - 1 are run together: about 16,384 tokens beyond those that neighbours share.
  std::vector<std::size_t> groups;
};

// Tokenizes a task. A label that is one token after "Answer:" is read off the logits of the last position; where some
// label of a question is several, all of its labels are scored as continuations, by the sum of their tokens'
// log-likelihoods, as lm-evaluation-harness does: tokens of context + continuation beyond as many as the context alone
// has. Questions longer than `max_positions` (0: no limit) are marked, never cut. Throws Error as read_choice_set does,
// and for a choice that adds no token.
ChoiceTask make_choice_task(const ChoiceProtocol& protocol, const Tokenizer& tokenizer, std::size_t max_positions,
                            const std::string& data);

// Sequences that a model is given for a group of questions.
struct PackedPrompts {
  TokenBatch batch;
  std::vector<const ChoicePrompt*> prompts;
  std::vector<std::size_t> last_rows;  // [prompts] the row of each prompt's last position
};

// Lays the prompts of questions [begin, end) end to end, without padding. With `share`, what all prompts of a subject,
// or all of a question, begin with (whichever saves more tokens) becomes a prefix that is computed once.
PackedPrompts pack_prompts(const ChoiceTask& task, std::size_t begin, std::size_t end, const DecoderConfig& config,
                           bool share);

}  // namespace lcomp
