#pragma once

#include <cstddef>
#include <span>

#include "forward/norm.h"
#include "lcomp/core/matrix.h"

namespace lcomp {

// Gradients of a cost through normalize(). With r = 1 / sqrt(mean(x^2) + epsilon), x^ = x r and g dy = gain * dy:
//   rms, rms_plus_one:  dx = r (g dy - x^ mean(x^ g dy)),                dgain = sum over rows of x^ dy
//   layer:              dx = r (g dy - mean(g dy) - x^ mean(x^ g dy)),   dgain the same, dbias = sum over rows of dy
// where for layer x^ = (x - mean) r and r = 1 / sqrt(variance + epsilon). For rms_plus_one `dgain` is the gradient of
// the stored gain too, since it differs from weights.gain by a constant.
// in: [rows, width], what normalize() was given. out_gradient: [rows, width], dy. in_gradient: [rows, width], dx,
// written; may be the memory of out_gradient (or of in). gain_gradient, bias_gradient: [width], added to; empty: not
// wanted.
// All sums are in double; those over rows are formed in pieces of a fixed number of rows, so that nothing depends on
// the number of threads. O(rows * width), two passes over a row (three for layer).
void normalize_backward(NormKind kind, double epsilon, const NormWeights& weights, ConstMatrixView in,
                        ConstMatrixView out_gradient, MatrixView<float> in_gradient, std::span<double> gain_gradient,
                        std::span<double> bias_gradient);

// The same for one row without threads. gain_gradient and bias_gradient may be null; in_gradient may be out_gradient.
void normalize_row_backward(NormKind kind, double epsilon, const NormWeights& weights, const float* in,
                            const float* out_gradient, float* in_gradient, double* gain_gradient, double* bias_gradient,
                            std::size_t width);

}  // namespace lcomp
