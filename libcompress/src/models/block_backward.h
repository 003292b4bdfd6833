#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "attention_backward.h"
#include "block_forward.h"
#include "experts_backward.h"
#include "lcomp/models/residual_stream.h"
#include "mlp_backward.h"
#include "token_chunks.h"

namespace lcomp {

// The backward pass of one block at a time: from the gradient of a cost with respect to the block's output to that with
// respect to its input. Serial blocks (with or without post norms, query and key norms, experts) and parallel ones:
//   serial:    h = x + [post_norm] output(attention(norm(x))),   y = h + [post_norm] mlp(norm(h))
//   parallel:  y = x + output(attention(n)) + mlp(n),   n = norm(x)
// The inside of a block is computed again from its input, a chunk of whole sequences at a time; a mixture of experts
// takes all tokens through the attention first and its attention halves twice, so that each expert is decoded once.
class BlockBackward {
 public:
  // The batch's tokens [0, 1, ...), its chunks of whole sequences, and rotary tables long enough for them. All must
  // outlive this.
  BlockBackward(std::span<const std::size_t> tokens, std::span<const TokenChunk> chunks, const RopeTables& ropes)
      : tokens_(tokens), chunks_(chunks), ropes_(ropes) {}

  // inputs: rows first_row ... are the input of block context.layer. gradient: [tokens, hidden], of the block's output;
  // then of its input. states: [tokens, hidden], working memory. Reports linears, and hands over the tensors' gradients
  // in the order of append_names().
  void run(const BackwardContext& context, const BlockSlices& slices, const ResidualStream& inputs,
           std::size_t first_row, MatrixView<float> states, MatrixView<float> gradient);

  static void append_names(const DecoderConfig& config, const BlockSlices& slices, std::vector<std::string>& names);

 private:
  void read(const BackwardContext& context, const BlockSlices& slices);
  void hand_over(const BackwardContext& context) const;

  // Computes the attention half from input_ on: states = its output, that is input_ + update, in a serial block.
  void attention_forward(const BackwardContext& context, const TokenChunk& chunk, MatrixView<float> states);
  // normed_gradient = through the attention, after attention_forward() of the same chunk.
  void attention_backward(const BackwardContext& context, const TokenChunk& chunk, ConstMatrixView gradient,
                          MatrixView<float> normed_gradient);
  void position_backward(const BackwardContext& context, MatrixView<float> query_key_value_gradient);
  // gradient += through the MLP half of a serial block. states: its input.
  void mlp_backward(const BackwardContext& context, const TokenChunk& chunk, ConstMatrixView states,
                    MatrixView<float> gradient);
  // normed_gradient += through the MLP of a parallel block.
  void parallel_mlp_backward(const BackwardContext& context, const TokenChunk& chunk, ConstMatrixView gradient,
                             MatrixView<float> normed_gradient);

  std::span<const std::size_t> tokens_;
  std::span<const TokenChunk> chunks_;
  const RopeTables& ropes_;

  LinearBackward query_key_value_, output_;
  NormBackward input_norm_, post_attention_norm_, query_norm_, key_norm_, pre_mlp_norm_, post_mlp_norm_;
  MlpBackward mlp_;
  ExpertsBackward experts_;

  // Of the chunk at work, [tokens, ...].
  AlignedBuffer<float> input_, normed_, query_key_value_rows_, projected_, attended_, attended_gradient_;
  AlignedBuffer<float> update_;    // before the norm after the attention, where there is one
  AlignedBuffer<float> stepping_;  // gradients on their way
  AlignedBuffer<float> mlp_normed_, mlp_update_, mlp_gradient_;
  MlpBackwardBuffers mlp_buffers_;
  std::vector<ChunkPiece> pieces_;
  std::vector<KeyValueCache> caches_;
  AttentionScratch attention_scratch_;
  AttentionBackwardScratch backward_scratch_;
};

}  // namespace lcomp
