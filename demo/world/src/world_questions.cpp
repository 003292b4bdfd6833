#include "lcomp/world/world_questions.h"

#include <algorithm>
#include <span>

namespace lcomp {
namespace {

const std::string& drawn(const std::vector<std::string>& patterns, Rng& rng) {
  return patterns[rng.below(patterns.size())];
}

}  // namespace

bool tells(const Fact& example, const Fact& asked) {
  return (example.relation == asked.relation && example.entity == asked.entity) ||
         (example.entity == asked.object && example.object == asked.entity);
}

std::string state(const World& world, std::size_t fact, Rng& rng) {
  const Fact& known = world.facts[fact];
  return filled(drawn(world.relations[known.relation].statements, rng), known);
}

std::string ask_openly(const World& world, std::size_t fact, Rng& rng) {
  const Fact& known = world.facts[fact];
  return filled(drawn(world.relations[known.relation].questions, rng), known);
}

ChoiceQuestion ask_with_choices(const World& world, std::size_t fact, Rng& rng) {
  const Fact& known = world.facts[fact];
  ChoiceQuestion question;
  question.subject = world.relations[known.relation].subject;
  question.question = ask_openly(world, fact, rng);
  std::vector<std::string> wrong;
  if (!known.tempting.empty()) wrong.push_back(known.tempting);
  const std::vector<std::string>& objects = world.object_sets[known.objects];
  while (wrong.size() < 3) {
    const std::string& object = objects[rng.below(objects.size())];
    if (object == known.object || object == known.entity) continue;
    if (std::find(wrong.begin(), wrong.end(), object) == wrong.end()) wrong.push_back(object);
  }
  rng.shuffle(std::span(wrong));
  question.answer = rng.below(4);
  question.choices = std::move(wrong);
  question.choices.insert(question.choices.begin() + static_cast<std::ptrdiff_t>(question.answer), known.object);
  question.labels = {"A", "B", "C", "D"};
  return question;
}

std::vector<std::size_t> draw_examples(const World& world, std::size_t fact, std::size_t count, Rng& rng) {
  const Fact& asked = world.facts[fact];
  const std::vector<std::size_t> known = world.facts_of(world.relations[asked.relation].subject, false);
  std::vector<std::size_t> examples;
  while (examples.size() < count) {
    const std::size_t example = known[rng.below(known.size())];
    if (tells(world.facts[example], asked)) continue;
    if (std::find(examples.begin(), examples.end(), example) == examples.end()) examples.push_back(example);
  }
  return examples;
}

}  // namespace lcomp
