#pragma once

#include "lcomp/core/matrix.h"

namespace lcomp {

// The error of a compressed weight that calibration can see:
//   tr((W - W^) H (W - W^)^T) = sum over tokens (times 2/n) of |(W - W^) x|^2
// weight, decoded: [rows, cols]; hessian: [cols, cols], symmetric (of two values that should be equal it reads one). In
// double throughout, by BLAS, on all threads; the result does not depend on their number. rows * cols^2 operations.
// Throws Error when the shapes don't fit.
double proxy_error(ConstMatrixView weight, ConstMatrixView decoded, ConstMatrixView hessian);

}  // namespace lcomp
