#pragma once

#include "lcomp/core/matrix.h"

namespace lcomp {

// Products of float32 matrices that are added to a third, by oneDNN on this thread alone, so that their bits don't
// depend on the number of threads. oneDNN chooses its kernels by what the processor can do; OpenBLAS goes by a list of
// models, and on those that are newer than itself falls back to its oldest kernels, at an eighth of the speed. Throw
// Error when oneDNN fails.

// c [m, n] += a b;  a: [m, k], b: [k, n].
void add_product(ConstMatrixView a, ConstMatrixView b, MatrixView<float> c);

// c [m, n] += a^T b;  a: [k, m], b: [k, n].
void add_transposed_product(ConstMatrixView a, ConstMatrixView b, MatrixView<float> c);

// c [m, n] += factor * a b^T;  a: [m, k], b: [n, k].
void add_product_with_transposed(float factor, ConstMatrixView a, ConstMatrixView b, MatrixView<float> c);

}  // namespace lcomp
