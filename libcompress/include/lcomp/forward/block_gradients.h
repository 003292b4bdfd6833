#pragma once

#include <cstddef>

#include "lcomp/core/matrix.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/forward/gradients.h"

namespace lcomp {

// The mean squared difference between what block `layer` makes of `input` and `target`, and its gradients with respect
// to the block's tensors and linear layers' outputs, which the visitor is told as by gradients(); of the options
// `weights`, `activations` and `tokens_at_once` count. input, target: [batch.tokens(), hidden], contiguous; the batch
// says where sequences begin. Throws Error as gradients(), and for a mixture of experts. Memory: one block's weights in
// float32, once for each direction, and its activations.
double block_gradients(Decoder& decoder, std::size_t layer, const TokenBatch& batch, ConstMatrixView input,
                       ConstMatrixView target, GradientVisitor& visitor, const GradientOptions& options = {});

// The block alone, in place on states [batch.tokens(), hidden], computed as block_gradients() does: with `weights` and
// `activations` of the options.
void run_block_as_trained(Decoder& decoder, std::size_t layer, const TokenBatch& batch, MatrixView<float> states,
                          const GradientOptions& options = {});

}  // namespace lcomp
