#pragma once

#include <functional>
#include <span>
#include <vector>

#include "lcomp/eval/choice_answers.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

struct ChoiceScoreOptions {
  ForwardOptions forward;       // its progress counts tokens times blocks of all groups to be run
  std::size_t first_group = 0;  // groups before it were answered earlier
  bool share = true;            // compute what prompts begin with once; false: each prompt as a whole (to measure)
  // Called after each group with its answers, in the task's order: what a file of answers keeps.
  std::function<void(std::span<const ChoiceAnswer>)> on_group;
};

// Asks `model` the questions of groups first_group ..., one group at a time through all blocks, so that peak memory is
// that of Decoder::forward on a group: of the blocks, half a one in float32. Logits are made for the scored positions
// only. Whole groups are computed alike whatever was answered before. Throws Error for an id outside the vocabulary,
// and for logits that are not finite.
void score_choices(Decoder& model, const ChoiceTask& task, const ChoiceScoreOptions& options);

// Scores everything and returns the answers, after options.on_group has seen them.
std::vector<ChoiceAnswer> answer_choices(Decoder& model, const ChoiceTask& task,
                                         const ChoiceScoreOptions& options = {});

}  // namespace lcomp
