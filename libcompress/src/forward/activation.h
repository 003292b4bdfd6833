#pragma once

#include "lcomp/core/matrix.h"
#include "lcomp/models/decoder_config.h"

namespace lcomp {

// out = act(gate) * up, where gate_up is [rows, 2 * width]: gate in the first half of a row, up in the second. out:
// [rows, width].
//   silu(x) = x / (1 + e^-x)
//   gelu_tanh(x) = x / (1 + e^(-2 z)), z = sqrt(2 / pi) (x + 0.044715 x^3)     (x / 2 (1 + tanh z), written so)
//   gelu_erf(x) = x / 2 (1 + erf(x / sqrt(2)))
// The exponential is within an ulp. Independent of the number of threads.
void gated_activation(Activation activation, ConstMatrixView gate_up, MatrixView<float> out);

// values = act(values) in place.
void apply_activation(Activation activation, MatrixView<float> values);

// values = cap * tanh(values / cap) in place.
void apply_softcap(float cap, MatrixView<float> values);

}  // namespace lcomp
