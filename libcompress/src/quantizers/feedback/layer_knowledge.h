#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/feedback/error_compensation.h"
#include "lcomp/quantizers/feedback/hessian_factor.h"
#include "lcomp/quantizers/quantizer.h"

namespace lcomp {

// Throws Error naming `component` when the statistics have no Hessian, which `method` needs, or one of another size.
void require_hessian(ConstMatrixView weight, const LayerStats& stats, const std::string& method,
                     const std::string& component);

// What a quantizer to tables of levels takes from a layer's statistics.
struct LayerKnowledge {
  std::optional<HessianFactor> factor;  // set: error compensation
  // What an error of each column costs, in the weight's own order; empty: all the same. With error compensation R_jj^2,
  // what is left of it after all that later columns can do (hessian_factor.h); without, the damped diagonal of H.
  std::vector<float> column_weights;
  std::vector<std::string> warnings;  // what the user should know
};

// Throws Error naming `component`: NaN or infinity in the weight (with row and column); error compensation without a
// Hessian; a Hessian of another size or with NaN, infinity or a negative diagonal. Where calibration saw no token (all
// of the Hessian's diagonal is zero) the result is empty and a warning says so.
LayerKnowledge learn_from_statistics(ConstMatrixView weight, const LayerStats& stats, const FeedbackSetting& feedback,
                                     const std::string& method, const std::string& component);

}  // namespace lcomp
