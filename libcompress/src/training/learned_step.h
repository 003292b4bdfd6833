#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"

namespace lcomp {

// A weight on symmetric uniform grids whose steps are given: the mathematics of projected_weights.h for one component.
// Groups are those of the layout, in row-major order; one for the whole weight when it is per_tensor.

// Largest code, 2^(bits-1) - 1.
float largest_code(const GroupedIntegerLayout& layout);

// max |w| / (2^(bits-1) - 1) of each group; 1 for a group of zeros.
void absolute_maximum_steps(const GroupedIntegerLayout& layout, ConstMatrixView weight, std::span<float> steps);
// 2 mean |w| / sqrt(2^(bits-1) - 1) of each group; 1 for a group of zeros.
void initial_steps(const GroupedIntegerLayout& layout, ConstMatrixView weight, std::span<float> steps);

// The floats to begin with where another method chose the codes: its steps, and the weight brought into the cell of its
// code (`reach` of a step from the code's value at most), so that round_to_steps() gives the same codes and what the
// method moved a weight by is kept until gradients say otherwise. A group whose step is 0 gets steps of 1 and zeros.
//   w = s clamp(w / s, q - reach, q + reach)
void start_from(const GroupedIntegerView& start, double reach, MatrixView<float> weight, std::span<float> steps);

// Codes for these steps, each rounded as the layout stores it (one that is not positive: to the smallest that it
// stores). Throws Error naming `component` where a step is not finite or overflows its storage.
GroupedIntegerWeight round_to_steps(const GroupedIntegerLayout& layout, ConstMatrixView weight,
                                    std::span<const float> steps, const std::string& component);

// gradient: with respect to the rounded weight; in place, to that of the weight. With `clipped`, 0 where the rounded
// code lies outside the grid.
void pass_back(const GroupedIntegerWeight& rounded, ConstMatrixView weight, bool clipped, MatrixView<float> gradient);
// The same with learned steps, whose gradient is written to step_gradient [groups].
void pass_back_learned(const GroupedIntegerWeight& rounded, ConstMatrixView weight, MatrixView<float> gradient,
                       std::span<float> step_gradient);

}  // namespace lcomp
