#pragma once

#include <cstddef>

#include "lcomp/core/matrix.h"

namespace lcomp {

// y = x W^T + bias for few rows of x, reading W once at memory speed. x: [rows, in], weight: [out, in] contiguous, y:
// [rows, out]; bias [out] or null. Rows of W are shared out over the threads; the result does not depend on their
// number.
void multiply_few(ConstMatrixView x, ConstMatrixView weight, const float* bias, MatrixView<float> y);

}  // namespace lcomp
