#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/core/progress.h"
#include "lcomp/io/tensor_source.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Which products the matrix multiplications use. Float32 everywhere else.
enum class ComputeType {
  float32,
  bfloat16,  // operands rounded to bfloat16, float32 sums. Throws Error where the CPU has neither AMX-BF16 nor
             // AVX512-BF16
};

// Token sequences laid end to end: sequence s is ids[offsets[s]] ... ids[offsets[s + 1] - 1].
// Sequences that begin alike may share that beginning: it is a sequence of its own, and those that go on from it hold
// their own tokens only. Forward passes compute it once, and give the others the states that they would have as a
// whole, up to the rounding of float32 sums. Backward passes refuse such batches.
struct TokenBatch {
  static constexpr std::size_t no_prefix = static_cast<std::size_t>(-1);

  std::vector<std::int32_t> ids;
  std::vector<std::size_t> offsets = {0};
  std::vector<std::size_t> prefixes;  // [sequences]: the sequence that s goes on from, or no_prefix; empty: none does

  std::size_t sequences() const { return offsets.size() - 1; }
  std::size_t tokens() const { return ids.size(); }
  std::span<const std::int32_t> sequence(std::size_t s) const;
  void add(std::span<const std::int32_t> sequence);
  // A sequence that goes on from sequence `prefix`, which must have no prefix itself.
  void add_after(std::size_t prefix, std::span<const std::int32_t> sequence);
  std::size_t prefix(std::size_t s) const { return prefixes.empty() ? no_prefix : prefixes[s]; }
  std::size_t prefix_length(std::size_t s) const;  // tokens; 0 without one
};

// Whether a sequence of `length` tokens has the same keys and values in its first `prefix_length` positions as these
// alone. Not so with longrope, where the length decides the rotary factors of all positions.
bool prefix_can_be_shared(const DecoderConfig& config, std::size_t prefix_length, std::size_t length);

// Sees the forward pass as it goes, layer by layer: what calibration, sequential compression, evaluation and the
// backward pass are built on. All do nothing by default.
class BlockVisitor {
 public:
  virtual ~BlockVisitor() = default;
  // Residual stream before block `layer`; layer == num_layers(): after the last block, before the final norm. [tokens,
  // hidden]
  virtual void hidden(std::size_t /*layer*/, ConstMatrixView /*states*/) {}
  // Input of a linear layer of block `layer`, for a chunk of consecutive tokens starting at `first_token`. Layers that
  // share an input (q/k/v, gate/up) are reported once, with all their slices' component names. [chunk, in_features]
  virtual void linear_input(std::size_t /*layer*/, std::span<const std::string> /*components*/,
                            std::size_t /*first_token*/, ConstMatrixView /*input*/) {}
  // The same for a linear layer of one expert, which sees some of the tokens only: row i of `input` is token tokens[i],
  // ascending. An expert that no token chose is not reported. [tokens.size(), in_features]
  virtual void expert_input(std::size_t /*layer*/, std::span<const std::string> /*components*/,
                            std::span<const std::size_t> /*tokens*/, ConstMatrixView /*input*/) {}
};

struct ForwardOptions {
  ProgressCallback progress;  // a step a block
  std::string progress_label = "forward";
  BlockVisitor* visitor = nullptr;
  // Reads the blocks' weights from here instead of the model's own tensors (same names and shapes): a model that is
  // being compressed. With model.activations it must be a CompressedWeightSource.
  const TensorSource* weights = nullptr;
};

// What run_block() computes: the whole block, or the attention half alone (of a block that is not parallel: that one's
// halves are computed together).
enum class BlockPart { whole, attention };

// A decoder-only transformer that streams its weights: each half of a block is decoded to float32 when it is needed.
// Weights that hold NaN or infinity are an Error naming the tensor. Not for use from several threads at once. The same
// call with the same thread count gives the same bits. A sequence gives the same result alone, in a batch, or under
// another thread count up to the rounding of float32 sums (about 1e-5 of a logit).
//
// Where model.activations is set, the linear layers of the blocks (and the head, if it says so) round their inputs to
// 8-bit integers and multiply them with the weights' stored codes in integers (kernels/integer_matmul.h); routers,
// norms, attention and the rest stay as they are. A difference of 1e-7 before rounding can then become one of a whole
// step, so that "up to the rounding of float32 sums" no longer holds; the same call still gives the same bits.
class Decoder {
 public:
  // Throws Error naming the layer when model.activations asks for a product that integers can't do: a weight that is
  // not stored as integers with scales (IntegerWeight says which), or one whose input has no grid where ranges are
  // fixed.
  explicit Decoder(ModelFolder model, ComputeType compute = ComputeType::float32);
  ~Decoder();
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;

  const ModelFolder& model() const;
  const DecoderConfig& config() const;
  ComputeType compute() const;

  // Decodes all blocks and the output head now and keeps them, 4 bytes a parameter (2 with bfloat16): for generation,
  // or for many small forward passes. Throws Error as forward() does.
  void load_all();
  bool loaded() const;

  // Runs all sequences through the model, one block at a time, so that peak memory is half a block in float32 + the
  // residual stream of all tokens + what one chunk of tokens needs. Returns the states after the final norm, [tokens,
  // hidden]. Throws Error for an id outside the vocabulary, and for a prefix that can't be shared. Positions beyond
  // max_positions are computed all the same. It is embed(), run_block() for each block, normalize().
  Matrix forward(const TokenBatch& batch, const ForwardOptions& options = {});

  // The residual stream before the first block: rows of the embedding, scaled. [tokens, hidden]
  Matrix embed(const TokenBatch& batch);
  // One block, or part of it, on the residual stream of all tokens, in place. The visitor sees inputs of linear layers
  // only; progress is not reported. Weights of a part that is left out are not read.
  void run_block(std::size_t layer, const TokenBatch& batch, MatrixView<float> states,
                 const ForwardOptions& options = {}, BlockPart part = BlockPart::whole);
  // The final norm, in place.
  void normalize(MatrixView<float> states);

  // Output head on rows of what forward() returned, final soft cap included: normed [n, hidden] -> logits [n, vocab].
  // The head is decoded at the first call and kept.
  void logits(ConstMatrixView normed, MatrixView<float> logits);

 private:
  friend class GenerationSession;
  friend class GradientPass;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcomp
