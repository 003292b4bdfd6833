#pragma once

#include <string>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"

namespace lcomp {

// Clipped straight-through: gradient = 0 for the weights that lie beyond their group's outermost level by more than
// half of its distance from the next one, so that the grid cuts them off, and where there are no bits at all. For dense
// weights nothing is. Throws Error
// for transformed and rate-coded weights, whose levels are not those of single weights.
void clip_gradient(const CompressedWeightView& rounded, ConstMatrixView weight, MatrixView<float> gradient);

// What clip_gradient() would throw for a weight of this layout. `component` names it.
void require_clippable(const WeightLayout& layout, const std::string& component);

}  // namespace lcomp
