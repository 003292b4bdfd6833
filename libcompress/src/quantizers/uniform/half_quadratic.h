#pragma once

#include <span>

#include "lcomp/quantizers/uniform/uniform_grid.h"

namespace lcomp {

// The fit of GridFit::hqq for one group. low: the lower end of its range; start: the grid of minmax, whose scale, which
// is positive and finite, is kept. O(20 weights).
UniformGrid fit_half_quadratic(std::span<const float> weights, float low, const UniformGrid& start,
                               const GridSetting& setting);

}  // namespace lcomp
