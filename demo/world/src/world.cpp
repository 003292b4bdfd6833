#include "lcomp/world/world.h"

#include <fmt/format.h>

#include <algorithm>

#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "relation_table.h"

namespace lcomp {
namespace {

constexpr std::size_t kFactsOfSubject = 7;  // a question, the same the other way round, and five examples

// How many facts each relation gives: as even a share of `total` as their number allows, the first ones one more.
std::vector<std::size_t> shares(const std::vector<RelationFacts>& table, std::size_t total) {
  std::size_t most = 0;
  for (const RelationFacts& relation : table) most += relation.facts.size();
  if (total > most) {
    throw Error({"facts", fmt::format("{}", total), fmt::format("at most {}, which is all there are", most), ""});
  }
  std::vector<std::size_t> counts(table.size(), 0);
  while (total > 0) {
    for (std::size_t i = 0; i < table.size() && total > 0; ++i) {
      if (counts[i] == table[i].facts.size()) continue;
      ++counts[i];
      --total;
    }
  }
  return counts;
}

bool is_held_out(const Rng& stream, std::size_t group, std::size_t every) {
  if (every == 0) return false;
  return stream.split(group / every).below(every) == group % every;
}

}  // namespace

std::vector<std::string> World::subjects() const {
  std::vector<std::string> names;
  for (const Relation& relation : relations) {
    if (std::find(names.begin(), names.end(), relation.subject) == names.end()) names.push_back(relation.subject);
  }
  return names;
}

std::vector<std::size_t> World::facts_of(std::string_view subject, bool held_out) const {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    if (relations[facts[i].relation].subject == subject && facts[i].held_out == held_out) indices.push_back(i);
  }
  return indices;
}

World make_world(const WorldConfig& config) {
  const Rng rng = Rng(config.seed).split("world");
  World world;
  std::vector<RelationFacts> table = relation_table(rng, world.object_sets);
  const std::vector<std::size_t> counts = shares(table, config.facts);
  for (std::size_t r = 0; r < table.size(); ++r) {
    const Rng split = rng.split("held out").split(table[r].split);
    world.relations.push_back(std::move(table[r].relation));
    for (std::size_t i = 0; i < counts[r]; ++i) {
      Fact fact = std::move(table[r].facts[i]);
      fact.relation = r;
      fact.held_out = is_held_out(split, fact.group, config.held_out_every);
      world.facts.push_back(std::move(fact));
    }
  }
  for (const std::string& subject : world.subjects()) {
    const std::size_t count = world.facts_of(subject, false).size();
    if (count >= kFactsOfSubject) continue;
    throw Error({"facts", fmt::format("{}, of which {} about {} that are not held out", config.facts, count, subject),
                 fmt::format("at least {} in each subject: a question and five examples", kFactsOfSubject),
                 "ask for more facts"});
  }
  return world;
}

std::string filled(std::string_view pattern, const Fact& fact) {
  std::string text;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern.substr(i, 3) == "{e}") {
      text += fact.entity;
      i += 2;
    } else if (pattern.substr(i, 3) == "{o}") {
      text += fact.object;
      i += 2;
    } else {
      text += pattern[i];
    }
  }
  return text;
}

}  // namespace lcomp
