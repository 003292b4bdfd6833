#pragma once

#include <cstddef>
#include <string>

namespace lcomp {

// What is added to the diagonal of a Hessian H before it is factored (hessian_factor.h).
struct Damping {
  double damping = 0.01;  // fraction of the mean diagonal of H, 0 .. 1
};
// Throws Error naming `where` for a damping out of range.
void check_damping(const Damping& options, const std::string& where);

// Error compensation as in GPTQ: columns are rounded one after the other, and each time the columns to come are changed
// so that they make up for the error.
struct ErrorCompensation : Damping {
  bool act_order = false;        // columns by decreasing diagonal of H
  bool static_groups = false;    // grids fitted beforehand, to the original weights of consecutive columns
  std::size_t block_size = 128;  // columns between updates of all later ones; group grids see finished blocks
};
// Throws Error naming `where` for values out of range.
void check_compensation(const ErrorCompensation& options, const std::string& where);

// The same for methods that can do without: tables of levels.
struct FeedbackSetting : ErrorCompensation {
  bool enabled = false;  // where it is not, columns still weigh by the damped diagonal of H
};
// Throws Error naming `where` for values out of range, and for options of error compensation where it is not enabled.
void check_feedback(const FeedbackSetting& setting, const std::string& where);

}  // namespace lcomp
