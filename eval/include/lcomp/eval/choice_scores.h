#pragma once

#include <functional>
#include <span>
#include <vector>

#include "lcomp/eval/choice_answers.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

struct ChoiceScoreOptions {
  ForwardOptions forward;       // the unit of its progress is one token through one block
  std::size_t first_group = 0;  // groups before it were answered earlier
  bool share = true;            // compute common prefixes once; false: run each prompt in full (to measure the gain)
  // Called after each group with its answers, in the task's order; an answer file stores them.
  std::function<void(std::span<const ChoiceAnswer>)> on_group;
};

// Scores the questions of groups first_group, first_group + 1, ... Each group goes through all blocks before the next,
// so that peak memory is that of Decoder::forward on one group: half a block in float32 and the activations. Logits are
// computed for the scored positions only. A group's answers do not depend on the groups before it. Throws Error for an
// id outside the vocabulary, and for logits that are not finite.
void score_choices(Decoder& model, const ChoiceTask& task, const ChoiceScoreOptions& options);

// Scores as above and returns the answers; options.on_group is called with each group's answers first.
std::vector<ChoiceAnswer> answer_choices(Decoder& model, const ChoiceTask& task,
                                         const ChoiceScoreOptions& options = {});

}  // namespace lcomp
