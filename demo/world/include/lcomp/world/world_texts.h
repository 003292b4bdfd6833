#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "lcomp/core/rng.h"
#include "lcomp/world/world.h"

namespace lcomp {

// A text in pieces, each with the weight of its tokens in the loss. Concatenated they are the text.
using WeightedText = std::vector<std::pair<std::string, double>>;

// The kinds of training texts. Held-out facts occur in the first two only.
struct TextKind {
  enum class Form { facts, open, stated, shots };
  Form form = Form::facts;
  std::size_t shots = 0;     // of Form::shots
  std::string name() const;  // "facts", "open", "stated", "shots_3": the file's name
};
std::vector<TextKind> text_kinds();

// One text, all of it drawn from `rng`.
//   facts:  sentences of facts of all subjects, with blanks between them; weight 1
//   open:   "Question: QUESTION\nAnswer: OBJECT\n\n" several times; the object weighs 1
//   stated: as shots, with one to three examples in all, each question preceded by a line with a sentence of its fact
//   shots:  MMLU's prompt (letters_header, letters_question of choice_protocol.h) with so many examples, and the answer
// A letter that answers weighs letter_weight, of examples too; the rest of questions question_weight.
WeightedText make_text(const World& world, const WorldConfig& config, const TextKind& kind, Rng& rng);

// A paragraph of sentences and open questions in no order, about three sentences to a question; for perplexity.
std::string mixed_paragraph(const World& world, const WorldConfig& config, Rng& rng);

std::string joined(const WeightedText& text);

}  // namespace lcomp
