#pragma once

#include <cstddef>
#include <string>

namespace lcomp {

// Whether and how a quantizer to tables of levels feeds errors back, as GPTQ does with uniform grids.
struct FeedbackSetting {
  bool enabled = false;
  bool act_order = false;        // columns by decreasing diagonal of H
  bool static_groups = false;    // groups of consecutive columns, fitted beforehand to the original weights
  double damping = 0.01;         // share of the mean diagonal of H that is added to it, 0 .. 1; without feedback too
  std::size_t block_size = 128;  // columns between updates of all later ones; group levels see finished blocks
};

// Throws Error naming `where` for values out of range, and for options of feedback where it is not enabled.
void check_feedback(const FeedbackSetting& setting, const std::string& where);

}  // namespace lcomp
