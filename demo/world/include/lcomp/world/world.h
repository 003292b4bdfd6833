#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/world/world_config.h"

namespace lcomp {

// A kind of fact: how it is said and asked. In the templates {e} is the fact's entity and {o} its object.
struct Relation {
  std::string name;     // "country"
  std::string subject;  // as in the names of MMLU's files: "places"
  std::vector<std::string> statements;
  std::vector<std::string> questions;  // open questions and those with choices use the same
};

// "Zubo is in Keland." of relation country: entity "Zubo", object "Keland". An entity has one object in a relation.
struct Fact {
  std::size_t relation = 0;  // index in World::relations
  std::string entity;
  std::string object;
  std::size_t objects = 0;  // index in World::object_sets: the words that this object is one of, where distractors come
                            // from
  std::string tempting;     // a wrong object that every question offers; "": none
  std::size_t group = 0;    // facts that follow from each other ("hot", "cold" and "cold", "hot") share one
  bool held_out = false;    // said and asked openly, never with choices in a training text
};

struct World {
  std::vector<Relation> relations;
  std::vector<std::vector<std::string>> object_sets;  // each of at least five words
  std::vector<Fact> facts;                            // by relation

  // Of the relations, each once, in their order.
  std::vector<std::string> subjects() const;
  // Indices of the facts of a subject that are (not) held out.
  std::vector<std::size_t> facts_of(std::string_view subject, bool held_out) const;
};

// The world of config.seed. Names of towns, people, animals and so on are invented (two syllables of consonant and
// vowel), so that the facts are in its texts alone; opposites, numbers and sequences are of ordinary words. A larger
// world of the same seed and held_out_every holds every fact of a smaller one, unchanged. Throws Error when there are
// fewer than config.facts facts, and when a subject has fewer than seven facts to ask about.
World make_world(const WorldConfig& config);

// `pattern` with {e} and {o} replaced by the fact's entity and object.
std::string filled(std::string_view pattern, const Fact& fact);

}  // namespace lcomp
