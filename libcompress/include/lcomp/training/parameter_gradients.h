#pragma once

#include <span>

#include "lcomp/io/tensor_source.h"
#include "lcomp/models/cost.h"
#include "lcomp/models/decoder.h"
#include "lcomp/training/parameters.h"
#include "lcomp/training/window_stream.h"

namespace lcomp {

// sum += factor * gradient of `cost` on `batch` with respect to every tensor of `sum`, for the model with these
// weights; returns the cost. Throws Error as gradients() does: for what is not finite, naming the layer or the tensor.
double add_gradients(Decoder& decoder, const TensorSource& weights, const TokenBatch& batch, LogitCost& cost,
                     float factor, Parameters& sum);

// The weighted mean over some batches of the cross entropy of each token given those before it, and its gradient with
// respect to every tensor of `gradient`, which is overwritten. Throws Error when no token has a weight.
double next_token_gradients(Decoder& decoder, const TensorSource& weights, std::span<const TrainingBatch> batches,
                            Parameters& gradient);

// The cost alone, by a forward pass of the model.
double next_token_loss(const ModelFolder& model, const TrainingBatch& batch);

}  // namespace lcomp
