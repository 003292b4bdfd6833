#pragma once

#include <span>

#include "lcomp/forward/cost.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/io/tensor_source.h"
#include "lcomp/training/parameters.h"
#include "training/teacher_cache.h"
#include "training/window_stream.h"

namespace lcomp {

// What is learned from batches: their own next tokens, or what a teacher thinks of them.
struct TrainingCost {
  Decoder* teacher = nullptr;     // null: the texts' own tokens
  TeacherCache* cache = nullptr;  // of the teacher; null: it is always asked
  std::size_t top_tokens = 0;     // of the teacher's distribution, the others as one; 0: all
  // How inputs of linear layers are rounded in the forward pass (GradientOptions); null: they are not.
  const ActivationSetting* activations = nullptr;
};

// The cost of the model with these `weights` on some batches as one, and its gradient with respect to every tensor of
// `gradient` that the model has, which is overwritten. Without a teacher: the weighted mean cross entropy of each token
// given those before it. With one: the mean of KL(teacher || model) over the predictions whose weight is not 0.
// Throws Error when no token has a weight, and as gradients() does: for what is not finite, naming the layer or the
// tensor.
double training_gradients(Decoder& decoder, const TensorSource& weights, std::span<const TrainingBatch> batches,
                          const TrainingCost& cost, Parameters& gradient);

// The weighted mean cross entropy, by a forward pass of the model.
double next_token_loss(const ModelFolder& model, const TrainingBatch& batch);

}  // namespace lcomp
