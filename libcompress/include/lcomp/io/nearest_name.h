#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lcomp {

// How many single characters must be inserted, deleted, replaced or swapped with their neighbour to make `b` of `a`
// (optimal string alignment distance, on bytes). O(|a| |b|).
std::size_t edit_distance(std::string_view a, std::string_view b);

// The known name that `name` was probably meant to be: the nearest one, when no more than a third of its letters (at
// least one) differ; empty when none is that near. The first of equally near ones.
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

}  // namespace lcomp
