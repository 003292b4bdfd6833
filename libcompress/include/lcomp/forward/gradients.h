#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/core/progress.h"
#include "lcomp/formats/activation_quantization.h"
#include "lcomp/forward/cost.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/forward/residual_stream.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// The outputs of one component among those of linear layers that share an input.
struct ComponentOutputs {
  std::string component;  // as BlockVisitor names it
  std::size_t begin = 0;  // columns begin ... begin + count - 1 of the output gradient
  std::size_t count = 0;
};

// What linear layers y = W x + b that share an input (q/k/v, gate/up) are given, and the gradient of the cost with
// respect to what they return, for some tokens. Summed over all tokens: dW = output_gradient^T input, db = column sums.
struct LinearGradient {
  std::size_t layer = 0;  // num_layers(): the output head
  std::span<const ComponentOutputs> components;
  std::span<const std::size_t> tokens;  // row i of both matrices is token tokens[i] of the batch; ascending
  ConstMatrixView input;                // [tokens.size(), in_features]
  ConstMatrixView output_gradient;      // [tokens.size(), out_features]
};

// Sees the backward pass as it goes, from the head to the embedding. All do nothing by default.
class GradientVisitor {
 public:
  virtual ~GradientVisitor() = default;
  // Every linear, for chunks of tokens that follow each other; linear layers of an expert for the tokens that chose it,
  // the head for those that have a cost. A token without a cost of its own still has gradients through later ones.
  virtual void linear_gradient(const LinearGradient& /*gradient*/) {}
  // The gradient with respect to row ids[i] of the embedding as token first_token + i uses it (the factor
  // embedding_scale included): [ids.size(), hidden]. A tied head is not in it.
  virtual void embedding_gradient(std::size_t /*first_token*/, std::span<const std::int32_t> /*ids*/,
                                  ConstMatrixView /*gradient*/) {}
  // Whether tensor_gradient() shall be called for a tensor of the checkpoint. Gradients of others are not computed.
  virtual bool wants_tensor(const std::string& /*name*/) { return false; }
  // The gradient with respect to a whole tensor (a tied embedding: the sum of both uses), once, in the order of
  // gradient_order(). An expert that no token chose has a gradient of zeros. `gradient` is gone after the call.
  virtual void tensor_gradient(const std::string& /*name*/, std::span<const std::size_t> /*shape*/,
                               std::span<const float> /*gradient*/) {}
};

struct GradientOptions {
  ProgressCallback progress;  // a step a block forwards, two backwards
  std::string progress_label = "gradients";
  // Reads all weights, the embedding and the head too, from here instead of the model's own tensors (same names and
  // shapes): weights in training.
  const TensorSource* weights = nullptr;
  // How the input of every block waits for its backward pass. With scaled_half the gradients are those at inputs
  // rounded to 11 bits.
  ResidualStorage storage = ResidualStorage::float32;
  // Bytes of these inputs that are kept in memory; more go to a temporary file. The results are the same.
  std::uint64_t memory_limit = std::uint64_t{4} << 30;
  std::filesystem::path spill_folder;  // of that file; empty: the system's temporary folder
  // Bytes of activations inside blocks that the forward pass keeps, of as many of the last blocks as have room; those
  // of the others are computed again. Changes the rounding at most. A mixture of experts keeps none.
  std::uint64_t activation_limit = std::uint64_t{2} << 30;
  // Tokens whose activations inside a block exist at once, in whole sequences (at least one).
  std::size_t tokens_at_once = 2048;
  // A token whose row of the embedding gets no gradient as an input, though the cost depends on it: what torch does for
  // a model that has a padding token. Nothing: the gradient of the embedding is exact.
  std::optional<std::int32_t> padding_token;
  // Rounds the inputs of the blocks' linear layers (and the head's, if it says so) to 8-bit integers, on ranges of the
  // values at hand, as a model with this setting does when it runs. Gradients pass straight through the rounding; what
  // the visitor is told of inputs is rounded. Null: inputs are floats.
  const ActivationSetting* activations = nullptr;
};

// The cost of the batch, and its gradients with respect to every weight and every linear's output.
// The forward pass stores the input of every block, and the inside of some. The backward pass takes the blocks from the
// last to the first: it decodes one block's weights, computes its inside again where it must, for some thousand tokens
// at a time, and hands what it finds to the visitor. Peak memory is, whatever the depth: one block's weights in
// float32, once for each direction (the head's likewise; of a mixture, one expert's) + the gradients of the block's
// tensors that are wanted (and of a tied embedding, kept throughout) + the activations of tokens_at_once tokens + two
// residual streams in float32 (a mixture: three) + what is used of memory_limit and activation_limit. Products are in
// float32, sums over chunks of tokens too: about 1e-6 of a tensor's norm from the same in double. The same call with
// the same thread count gives the same bits. Throws Error for a decoder that computes in bfloat16 or with integer
// activations, for options.activations with fixed ranges, of a mixture of experts or of weights that are stored with
// transforms (whose inputs a model rounds in their basis, not as they are), for an id outside the vocabulary,
// a batch in which no token has a cost, a weight that is not finite (naming the tensor), and a cost, a residual stream
// or a gradient that is not finite (naming the layer or the tensor).
double gradients(Decoder& decoder, const TokenBatch& batch, LogitCost& cost, GradientVisitor& visitor,
                 const GradientOptions& options = {});

// The names of the model's tensors in the order in which tensor_gradient() hands them over: head, final norm, blocks
// from the last to the first, embedding.
std::vector<std::string> gradient_order(const ModelFolder& model);

}  // namespace lcomp
