#include "lcomp/world/world_texts.h"

#include <fmt/format.h>

#include "lcomp/eval/choice_protocol.h"
#include "lcomp/world/world_questions.h"

namespace lcomp {
namespace {

// Appends to the last piece when the weight is the same.
void append(WeightedText& text, const std::string& piece, double weight) {
  if (!text.empty() && text.back().second == weight) {
    text.back().first += piece;
  } else {
    text.emplace_back(piece, weight);
  }
}

std::size_t any_fact(const World& world, Rng& rng) { return rng.below(world.facts.size()); }

std::size_t any_trained_fact(const World& world, Rng& rng) {
  for (;;) {
    const std::size_t fact = any_fact(world, rng);
    if (!world.facts[fact].held_out) return fact;
  }
}

WeightedText facts_text(const World& world, const WorldConfig& config, Rng& rng) {
  std::string text;
  for (std::size_t i = 0; i < config.sentences; ++i) {
    if (i > 0) text += ' ';
    text += state(world, any_fact(world, rng), rng);
  }
  return {{text, 1}};
}

WeightedText open_text(const World& world, const WorldConfig& config, Rng& rng) {
  WeightedText text;
  for (std::size_t i = 0; i < config.open_questions; ++i) {
    const std::size_t fact = any_fact(world, rng);
    append(text, fmt::format("{}Question: {}\nAnswer:", i > 0 ? "\n\n" : "", ask_openly(world, fact, rng)),
           config.question_weight);
    append(text, " " + world.facts[fact].object, 1);
  }
  return text;
}

WeightedText choices_text(const World& world, const WorldConfig& config, std::size_t shots, bool stated, Rng& rng) {
  const std::size_t last = any_trained_fact(world, rng);
  std::vector<std::size_t> facts = draw_examples(world, last, shots, rng);
  facts.push_back(last);
  WeightedText text;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    const ChoiceQuestion question = ask_with_choices(world, facts[i], rng);
    append(text, i == 0 ? letters_header(question) : "\n\n", config.question_weight);
    if (stated) append(text, state(world, facts[i], rng) + "\n", config.question_weight);
    append(text, letters_question(question), config.question_weight);
    append(text, " " + question.labels[question.answer], config.letter_weight);
  }
  return text;
}

}  // namespace

std::string TextKind::name() const {
  switch (form) {
    case Form::facts:
      return "facts";
    case Form::open:
      return "open";
    case Form::stated:
      return "stated";
    case Form::shots:
      return fmt::format("shots_{}", shots);
  }
  return {};
}

std::vector<TextKind> text_kinds() {
  using Form = TextKind::Form;
  std::vector<TextKind> kinds = {{Form::facts}, {Form::open}, {Form::stated}};
  for (std::size_t shots = 0; shots <= 5; ++shots) kinds.push_back({Form::shots, shots});
  return kinds;
}

WeightedText make_text(const World& world, const WorldConfig& config, const TextKind& kind, Rng& rng) {
  switch (kind.form) {
    case TextKind::Form::facts:
      return facts_text(world, config, rng);
    case TextKind::Form::open:
      return open_text(world, config, rng);
    case TextKind::Form::stated:
      return choices_text(world, config, rng.below(3), true, rng);
    case TextKind::Form::shots:
      return choices_text(world, config, kind.shots, false, rng);
  }
  return {};
}

std::string mixed_paragraph(const World& world, const WorldConfig& config, Rng& rng) {
  std::string text;
  for (std::size_t i = 0; i < config.sentences; ++i) {
    const std::size_t fact = any_fact(world, rng);
    if (rng.below(4) > 0) {
      text += (text.empty() || text.back() == '\n' ? "" : " ") + state(world, fact, rng);
    } else {
      text += fmt::format("{}Question: {}\nAnswer: {}\n\n", text.empty() || text.back() == '\n' ? "" : "\n\n",
                          ask_openly(world, fact, rng), world.facts[fact].object);
    }
  }
  return text;
}

std::string joined(const WeightedText& text) {
  std::string whole;
  for (const auto& [piece, weight] : text) whole += piece;
  return whole;
}

}  // namespace lcomp
