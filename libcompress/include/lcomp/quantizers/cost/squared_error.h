#pragma once

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"

namespace lcomp {

struct SquaredError {
  double error = 0;    // sum (w - w^)^2
  double weights = 0;  // sum w^2

  double relative() const { return weights > 0 ? error / weights : 0; }
};

// Of a weight [rows, cols] and what it was compressed to. In double, decoded a few rows at a time; the same for any
// number of threads.
SquaredError squared_error(ConstMatrixView weight, const CompressedWeight& compressed);

}  // namespace lcomp
