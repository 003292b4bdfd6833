#pragma once

#include "lcomp/core/matrix.h"
#include "lcomp/models/decoder_config.h"

namespace lcomp {

// Gradients of a cost through the functions of activation.h. With s(z) = 1 / (1 + e^-z):
//   silu'(x) = s(x) (1 + x s(-x))
//   gelu_tanh'(x) = s(u) (1 + x s(-u) u'), u = 2 sqrt(2 / pi) (x + 0.044715 x^3)
//   gelu_erf'(x) = (1 + erf(x / sqrt(2))) / 2 + x e^(-x^2 / 2) / sqrt(2 pi)
// Float32, a few units in the last place of max(1, |x|). Independent of the number of threads. O(elements).

// Through gated_activation(): d gate = dy * up * act'(gate), d up = dy * act(gate).
// gate_up: [rows, 2 * width], what the forward pass was given. out_gradient: [rows, width], dy. gate_up_gradient:
// [rows, 2 * width], written; may be the memory of gate_up.
void gated_activation_backward(Activation activation, ConstMatrixView gate_up, ConstMatrixView out_gradient,
                               MatrixView<float> gate_up_gradient);

// Through apply_activation(): dx = dy * act'(x). in: the values before the activation. All [rows, width]; in_gradient,
// written, may be the memory of either of the others.
void activation_backward(Activation activation, ConstMatrixView in, ConstMatrixView out_gradient,
                         MatrixView<float> in_gradient);

// Through apply_softcap(), y = cap * tanh(x / cap): gradient *= 1 - (y / cap)^2, in place. capped: y. Both [rows,
// width]. The factor has an absolute error of 1e-7: where y is all but cap, y no longer says how much of x was cut off.
void softcap_backward(float cap, ConstMatrixView capped, MatrixView<float> gradient);

}  // namespace lcomp
