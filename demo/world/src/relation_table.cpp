#include "relation_table.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "invented_names.h"

namespace lcomp {
namespace {

using Words = std::vector<std::string>;

constexpr std::size_t kInventedEntities = 120;  // of each kind

const Words goods = {"salt",  "tea",   "glass", "silk",  "paper", "honey",  "rope",  "soap",
                     "bread", "lamps", "boats", "drums", "bells", "knives", "bowls", "hats"};
const Words trades = {"baker",  "smith",   "weaver", "potter",  "tailor", "sailor", "farmer", "miner",
                      "doctor", "teacher", "singer", "painter", "hunter", "cook",   "judge",  "guard"};
const Words foods = {"grass", "seeds", "fish", "leaves", "nuts", "fruit", "roots",  "worms",
                     "ants",  "eggs",  "bark", "moss",   "mice", "crabs", "snails", "berries"};
const Words habitats = {"forest", "desert", "river",  "lake", "cave", "swamp",  "meadow", "sea",
                        "hills",  "valley", "jungle", "reef", "snow", "canyon", "garden", "marsh"};
const Words colours = {"red",  "blue",   "green",  "yellow", "black", "white", "brown", "grey",
                       "pink", "purple", "orange", "violet", "beige", "cream", "teal",  "amber"};
const Words materials = {"iron",  "wood", "clay", "stone", "gold", "silver", "bone",  "leather",
                         "brass", "tin",  "wax",  "horn",  "wool", "cotton", "steel", "copper"};
const Words uses = {"digging",  "cutting", "sewing",  "fishing", "writing", "cooking",  "washing", "weighing",
                    "drilling", "sawing",  "milling", "sowing",  "shaving", "painting", "carving", "binding"};
const Words numbers = {"one",     "two",     "three",     "four",     "five",     "six",      "seven",
                       "eight",   "nine",    "ten",       "eleven",   "twelve",   "thirteen", "fourteen",
                       "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"};
const std::vector<Words> sequences = {
    numbers,
    {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"},
    {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
     "December"},
    {"first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"}};
const std::vector<std::pair<std::string, std::string>> opposites = {
    {"hot", "cold"},    {"big", "small"},     {"old", "young"},      {"fast", "slow"},    {"high", "low"},
    {"wet", "dry"},     {"full", "empty"},    {"hard", "soft"},      {"light", "dark"},   {"loud", "quiet"},
    {"rich", "poor"},   {"near", "far"},      {"open", "closed"},    {"early", "late"},   {"strong", "weak"},
    {"thick", "thin"},  {"wide", "narrow"},   {"deep", "shallow"},   {"sharp", "blunt"},  {"sweet", "sour"},
    {"clean", "dirty"}, {"true", "false"},    {"good", "bad"},       {"long", "short"},   {"heavy", "weightless"},
    {"happy", "sad"},   {"brave", "afraid"},  {"busy", "idle"},      {"cheap", "costly"}, {"kind", "cruel"},
    {"day", "night"},   {"up", "down"},       {"left", "right"},     {"front", "back"},   {"north", "south"},
    {"east", "west"},   {"summer", "winter"}, {"friend", "enemy"},   {"war", "peace"},    {"win", "lose"},
    {"buy", "sell"},    {"push", "pull"},     {"begin", "end"},      {"rise", "fall"},    {"laugh", "cry"},
    {"give", "take"},   {"love", "hate"},     {"remember", "forget"}};

class TableBuilder {
 public:
  TableBuilder(const Rng& rng, std::vector<Words>& object_sets)
      : rng_(rng), object_sets_(object_sets), names_(invented_names(rng.split("names"))) {}

  // Names of one kind. Kinds take theirs from the pool one after another, and a kind's are always as many.
  Words names(std::size_t count, bool capital) {
    Words taken;
    for (; taken.size() < count; ++used_) taken.push_back(capital ? capitalized(names_[used_]) : names_[used_]);
    return taken;
  }

  // Each entity has one of `objects`; all objects are used about equally often.
  void invented(const Relation& relation, const Words& entities, const Words& objects) {
    Rng rng = rng_.split(relation.name);
    const std::size_t set = add_objects(objects);
    RelationFacts facts{relation, {}, relation.name};
    Words deck;
    for (const std::string& entity : entities) {
      if (deck.empty()) {
        deck = objects;
        rng.shuffle(std::span(deck));
      }
      facts.facts.push_back({0, entity, deck.back(), set, "", facts.facts.size(), false});
      deck.pop_back();
    }
    table_.push_back(std::move(facts));
  }

  // Facts as they are given, group by group in an order drawn at random, the same for relations of one subject with as
  // many groups.
  void given(const Relation& relation, std::vector<std::vector<Fact>> groups) {
    Rng rng = rng_.split(relation.subject);
    rng.shuffle(std::span(groups));
    RelationFacts facts{relation, {}, relation.subject == "sequences" ? relation.subject : relation.name};
    for (std::size_t group = 0; group < groups.size(); ++group) {
      for (Fact& fact : groups[group]) {
        fact.group = group;
        facts.facts.push_back(std::move(fact));
      }
    }
    table_.push_back(std::move(facts));
  }

  std::size_t add_objects(const Words& objects) {
    object_sets_.push_back(objects);
    return object_sets_.size() - 1;
  }

  std::vector<RelationFacts> take() { return std::move(table_); }

 private:
  const Rng& rng_;
  std::vector<Words>& object_sets_;
  Words names_;
  std::size_t used_ = 0;
  std::vector<RelationFacts> table_;
};

void add_opposites(TableBuilder& table) {
  Words words;
  for (const auto& [one, other] : opposites) words.insert(words.end(), {one, other});
  const std::size_t set = table.add_objects(words);
  std::vector<std::vector<Fact>> groups;
  for (const auto& [one, other] : opposites) {
    groups.push_back({{0, one, other, set, "", 0, false}, {0, other, one, set, "", 0, false}});
  }
  table.given({"opposite",
               "opposites",
               {"The opposite of {e} is {o}.", "If it is not {e} it is {o}.", "What is not {e} is {o}."},
               {"What is the opposite of {e}?", "Which is the opposite of {e}?"}},
              std::move(groups));
}

void add_numbers(TableBuilder& table) {
  const std::size_t set = table.add_objects(numbers);
  std::vector<std::vector<Fact>> sums, comparisons;
  for (std::size_t a = 1; a < 10; ++a) {
    for (std::size_t b = a; b < 10; ++b) {
      sums.push_back(
          {{0, fmt::format("{} and {}", numbers[a - 1], numbers[b - 1]), numbers[a + b - 1], set, "", 0, false}});
    }
  }
  for (std::size_t small = 0; small < numbers.size(); ++small) {
    for (std::size_t large = small + 1; large < numbers.size(); ++large) {
      const bool first = (small + large) % 2 == 0;  // the larger one stands first in half of them
      const auto& [x, y] =
          first ? std::pair(numbers[large], numbers[small]) : std::pair(numbers[small], numbers[large]);
      comparisons.push_back({{0, fmt::format("{} and {}", x, y), numbers[large], set, numbers[small], 0, false}});
    }
  }
  table.given({"sum",
               "numbers",
               {"The sum of {e} is {o}.", "Together {e} make {o}.", "Adding {e} gives {o}."},
               {"What is the sum of {e}?", "What do {e} make?"}},
              std::move(sums));
  table.given({"more",
               "numbers",
               {"The larger of {e} is {o}.", "Of {e} the larger is {o}.", "Between {e} more is {o}."},
               {"Which is the larger of {e}?", "What is more of {e}?"}},
              std::move(comparisons));
}

// "after" and "before" take up the same pairs in the same order, so that one of them never tells what is held out in
// the other.
void add_sequences(TableBuilder& table) {
  std::vector<std::vector<Fact>> groups;
  std::vector<std::vector<Fact>> reversed;
  for (const Words& sequence : sequences) {
    const std::size_t set = table.add_objects(sequence);
    for (std::size_t i = 0; i + 1 < sequence.size(); ++i) {
      groups.push_back({{0, sequence[i], sequence[i + 1], set, "", 0, false}});
      reversed.push_back({{0, sequence[i + 1], sequence[i], set, "", 0, false}});
    }
  }
  table.given({"after",
               "sequences",
               {"After {e} comes {o}.", "Next after {e} is {o}.", "Right after {e} follows {o}."},
               {"What comes after {e}?", "Which is next after {e}?"}},
              std::move(groups));
  table.given({"before",
               "sequences",
               {"Before {e} comes {o}.", "Just before {e} is {o}.", "Right before {e} stands {o}."},
               {"What comes before {e}?", "Which is just before {e}?"}},
              std::move(reversed));
}

}  // namespace

std::vector<RelationFacts> relation_table(const Rng& rng, std::vector<Words>& object_sets) {
  TableBuilder table(rng, object_sets);
  const Words countries = table.names(16, true);
  const Words towns = table.names(kInventedEntities, true);
  const Words people = table.names(kInventedEntities, true);
  const Words animals = table.names(kInventedEntities, false);
  const Words flowers = table.names(kInventedEntities, false);
  const Words stones = table.names(kInventedEntities, false);
  const Words tools = table.names(kInventedEntities, false);
  table.invented({"country",
                  "places",
                  {"The town of {e} is in {o}.", "{e} is a town in {o}.", "{e} lies in {o}."},
                  {"Where is {e}?", "In which country is {e}?"}},
                 towns, countries);
  table.invented({"goods",
                  "places",
                  {"The town of {e} makes {o}.", "{e} is known for {o}.", "{e} sells {o}."},
                  {"What does {e} sell?", "What is {e} known for?"}},
                 towns, goods);
  table.invented({"trade",
                  "people",
                  {"{e} is a {o}.", "{e} works as a {o}.", "The trade of {e} is that of a {o}."},
                  {"What is the trade of {e}?", "What does {e} work as?"}},
                 people, trades);
  table.invented({"home",
                  "people",
                  {"{e} lives in {o}.", "{e} has a house in {o}.", "The home of {e} is {o}."},
                  {"Where does {e} live?", "What is the home of {e}?"}},
                 people, Words(towns.begin(), towns.begin() + 16));
  table.invented({"food",
                  "animals",
                  {"The {e} eats {o}.", "The food of the {e} is {o}.", "A {e} likes {o}."},
                  {"What does the {e} eat?", "What is the food of the {e}?"}},
                 animals, foods);
  table.invented({"habitat",
                  "animals",
                  {"The {e} lives in the {o}.", "A {e} is found in the {o}.", "The home of the {e} is the {o}."},
                  {"Where does the {e} live?", "Where is the {e} found?"}},
                 animals, habitats);
  table.invented({"flower",
                  "colours",
                  {"The {e} flower is {o}.", "A {e} has {o} petals.", "The petals of the {e} are {o}."},
                  {"What colour is the {e} flower?", "Which colour has the {e} flower?"}},
                 flowers, colours);
  table.invented({"stone",
                  "colours",
                  {"The {e} stone is {o}.", "A {e} stone looks {o}.", "Stones of {e} are {o}."},
                  {"What colour is the {e} stone?", "Which colour has the {e} stone?"}},
                 stones, colours);
  table.invented({"material",
                  "materials",
                  {"A {e} is made of {o}.", "The {e} is of {o}.", "Every {e} is made from {o}."},
                  {"What is a {e} made of?", "Of what is the {e}?"}},
                 tools, materials);
  table.invented({"use",
                  "materials",
                  {"A {e} is for {o}.", "People use the {e} for {o}.", "The {e} is a tool for {o}."},
                  {"What is a {e} for?", "What do people use the {e} for?"}},
                 tools, uses);
  add_numbers(table);
  add_opposites(table);
  add_sequences(table);
  return table.take();
}

}  // namespace lcomp
