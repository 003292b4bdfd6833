#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lcomp/core/rng.h"
#include "lcomp/world/world.h"

namespace lcomp {

// A relation with all the facts that it can have, in the order in which worlds of growing size take them up. Groups are
// numbered from 0 within the relation; held_out and Fact::relation are not set.
struct RelationFacts {
  Relation relation;
  std::vector<Fact> facts;
  // Names the stream that draws which groups are held out. Relations whose facts follow from each other's share one.
  std::string split;
};

// The one table of relations. New object sets are appended to `object_sets`.
std::vector<RelationFacts> relation_table(const Rng& rng, std::vector<std::vector<std::string>>& object_sets);

}  // namespace lcomp
