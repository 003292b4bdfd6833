#pragma once

#include <cstddef>

#include "lcomp/core/matrix.h"

namespace lcomp {

constexpr std::size_t max_matvec_rows = 4;

// y = x W^T + bias for up to max_matvec_rows rows of x, reading W once. x: [rows, in], weight: [out, in] contiguous, y:
// [rows, out]; bias [out] or null. Rows of W are shared out over the threads; the result does not depend on their
// number.
void multiply_few(ConstMatrixView x, ConstMatrixView weight, const float* bias, MatrixView<float> y);

}  // namespace lcomp
