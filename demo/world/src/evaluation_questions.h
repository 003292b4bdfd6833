#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lcomp/core/rng.h"
#include "lcomp/eval/choice_questions.h"
#include "lcomp/world/world.h"

namespace lcomp {

// Questions of one subject for the evaluation, as a file of MMLU's layout.
struct SubjectQuestions {
  std::string subject;
  std::vector<ChoiceQuestion> test;  // of trained or of held-out facts
  std::vector<ChoiceQuestion> dev;   // five, of trained facts that tell no answer of the test
};

// Each fact (trained, or held out) that the examples don't tell is asked `asked` times, with choices drawn anew; each
// letter answers equally often, to within one. Subjects without such facts are left out.
std::vector<SubjectQuestions> evaluation_questions(const World& world, bool held_out, std::size_t asked,
                                                   const Rng& rng);

// A line of six columns: question, A, B, C, D, letter of the answer.
std::string csv_line(const ChoiceQuestion& question);

}  // namespace lcomp
