#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/feedback/error_compensation.h"
#include "lcomp/quantizers/granularity.h"
#include "quantizers/feedback/layer_knowledge.h"
#include "quantizers/tables/level_groups.h"

namespace lcomp {

// Which weights share levels. Throws Error naming `where` for bits out of 1 .. 8, a group size of 0, and one scale per
// tensor, which methods with tables of levels don't have.
void check_levels(int bits, const Granularity& granularity, const std::string& where);
std::size_t columns_per_group(const Granularity& granularity, std::size_t cols);
// True when columns are stored in the order of visit: groups that are fitted on the way.
bool permutes_columns(const FeedbackSetting& feedback, const Granularity& granularity, std::size_t cols);

// Rounds every weight to the nearest level of its group. With knowledge.factor by the loop of error_feedback.h: groups
// of columns are then fitted on the way, or beforehand when they are static or whole rows. Returns the column that each
// stored column is: 0, 1, 2, ... unless permutes_columns. The result does not depend on the number of threads.
std::vector<std::uint32_t> round_to_levels(ConstMatrixView weight, const LayerKnowledge& knowledge,
                                           const FeedbackSetting& feedback, int bits, const Granularity& granularity,
                                           LevelGroups& groups, const std::string& component);

}  // namespace lcomp
