#pragma once

#include <span>

#include "lcomp/core/matrix.h"
#include "lcomp/models/decoder_config.h"

namespace lcomp {

// One norm, ready to use: for rms_plus_one `gain` already holds 1 + gain. Both are [width]; bias is empty but for
// NormKind::layer.
struct NormWeights {
  AlignedBuffer<float> gain;
  AlignedBuffer<float> bias;
};

// Normalises each row: out[i] = in[i] / sqrt(mean(in[i]^2) + epsilon) * gain, or for NormKind::layer
// (in[i] - mean) / sqrt(variance + epsilon) * gain + bias. The sums are in double.
// in, out: [rows, width], may be the same. Rows are shared out over the threads; the result does not depend on their
// number.
void normalize(NormKind kind, double epsilon, const NormWeights& weights, ConstMatrixView in, MatrixView<float> out);

// states += update. Both [rows, width].
void add(ConstMatrixView update, MatrixView<float> states);

// The same for one row without threads. in may be out.
void normalize_row(NormKind kind, double epsilon, const NormWeights& weights, const float* in, float* out,
                   std::size_t width);

}  // namespace lcomp
