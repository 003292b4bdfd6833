#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lcomp/core/rng.h"
#include "lcomp/eval/choice_questions.h"
#include "lcomp/world/world.h"

namespace lcomp {

// A question about a fact with four choices: wording, three distractors out of the fact's object set and the order all
// drawn from `rng`; each letter is the answer equally often, whatever else is drawn. A distractor is never the fact's
// entity.
ChoiceQuestion ask_with_choices(const World& world, std::size_t fact, Rng& rng);

// Whether an example with `example` would answer a question about `asked`: it is the same fact, or says it the other
// way round ("hot" is to "cold" as "cold" is to "hot").
bool tells(const Fact& example, const Fact& asked);

// `count` facts of the subject of `fact` to serve as examples before a question about it: none that is held out, none
// that tells its answer, none twice. make_world sees to it that there are enough for five.
std::vector<std::size_t> draw_examples(const World& world, std::size_t fact, std::size_t count, Rng& rng);

// One of the fact's sentences: "Zubo is in Keland."
std::string state(const World& world, std::size_t fact, Rng& rng);

// One of its questions: "Where is Zubo?"
std::string ask_openly(const World& world, std::size_t fact, Rng& rng);

}  // namespace lcomp
