#include "evaluation_questions.h"

#include <algorithm>
#include <span>
#include <utility>

#include "lcomp/world/world_questions.h"

namespace lcomp {
namespace {

constexpr std::size_t kExamples = 5;

// Puts the right choice at `answer`, the one that stood there where it was.
void move_answer(ChoiceQuestion& question, std::size_t answer) {
  std::swap(question.choices[question.answer], question.choices[answer]);
  question.answer = answer;
}

std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\n\r") == std::string::npos) return field;
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

}  // namespace

std::vector<SubjectQuestions> evaluation_questions(const World& world, bool held_out, std::size_t asked,
                                                   const Rng& rng) {
  std::vector<SubjectQuestions> sets;
  for (const std::string& subject : world.subjects()) {
    Rng examples_rng = rng.split("examples").split(subject);
    std::vector<std::size_t> examples = world.facts_of(subject, false);
    examples_rng.shuffle(std::span(examples));
    examples.resize(kExamples);

    SubjectQuestions set{subject, {}, {}};
    Rng test_rng = rng.split(held_out ? "held out" : "trained").split(subject);
    for (const std::size_t fact : world.facts_of(subject, held_out)) {
      if (std::any_of(examples.begin(), examples.end(),
                      [&](std::size_t example) { return tells(world.facts[example], world.facts[fact]); })) {
        continue;
      }
      for (std::size_t n = 0; n < asked; ++n) set.test.push_back(ask_with_choices(world, fact, test_rng));
    }
    if (set.test.empty()) continue;
    std::vector<std::size_t> letters(set.test.size());
    for (std::size_t i = 0; i < letters.size(); ++i) letters[i] = i % 4;
    test_rng.shuffle(std::span(letters));
    for (std::size_t i = 0; i < letters.size(); ++i) move_answer(set.test[i], letters[i]);
    for (const std::size_t fact : examples) set.dev.push_back(ask_with_choices(world, fact, examples_rng));
    sets.push_back(std::move(set));
  }
  return sets;
}

std::string csv_line(const ChoiceQuestion& question) {
  std::string line = quoted(question.question);
  for (const std::string& choice : question.choices) line += "," + quoted(choice);
  return line + "," + question.labels[question.answer] + "\n";
}

}  // namespace lcomp
