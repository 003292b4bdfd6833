#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "forward/attention_backward.h"
#include "forward/block_forward.h"
#include "forward/experts_backward.h"
#include "forward/mlp_backward.h"
#include "forward/token_chunks.h"
#include "lcomp/forward/residual_stream.h"

namespace lcomp {

// What the backward pass of a block needs of a chunk of tokens beside the block's input. [tokens, ...]
struct BlockInside {
  AlignedBuffer<float> query_key_value;  // normed and rotated
  AlignedBuffer<float> projected;        // q and k before their norms, where they have any
  AlignedBuffer<float> attended;
  AlignedBuffer<float> update, mlp_update;  // before the norms after the halves (post_norms)
  AlignedBuffer<float> middle;              // the residual stream between the halves
  AlignedBuffer<float> inner;               // gate and up; of a chunk whose inside is kept

  static std::uint64_t bytes(const DecoderConfig& config, std::size_t tokens);
};

// The backward pass of one block at a time: from the gradient of a cost with respect to the block's output to that with
// respect to its input. Serial blocks (with or without post norms, query and key norms, experts) and parallel ones:
//   serial:    h = x + [post_norm] output(attention(norm(x))),   y = h + [post_norm] mlp(norm(h))
//   parallel:  y = x + output(attention(n)) + mlp(n),   n = norm(x)
// The inside of a block is computed again from its input, a chunk of whole sequences at a time, where forward() didn't
// keep it; a mixture of experts takes all tokens through the attention first and its attention halves twice, so that
// each expert is decoded once.
class BlockBackward {
 public:
  // The batch's tokens [0, 1, ...), its chunks of whole sequences, and rotary tables long enough for them. All must
  // outlive this.
  BlockBackward(std::span<const std::size_t> tokens, std::span<const TokenChunk> chunks, const RopeTables& ropes)
      : tokens_(tokens), chunks_(chunks), ropes_(ropes) {}

  // The block on all tokens, in place, keeping the inside of every chunk. Not for a mixture of experts.
  void forward(const BackwardContext& context, const BlockSlices& slices, MatrixView<float> states,
               std::vector<BlockInside>& insides);

  // inputs: rows first_row ... are the input of block context.layer. gradient: [tokens, hidden], of the block's output;
  // then of its input. states: [tokens, hidden], working memory of a mixture. insides: what forward() kept; empty:
  // nothing. Reports linear layers, and hands over the tensors' gradients in the order of append_names().
  void run(const BackwardContext& context, const BlockSlices& slices, const ResidualStream& inputs,
           std::size_t first_row, MatrixView<float> states, MatrixView<float> gradient,
           std::vector<BlockInside>& insides);

  static void append_names(const DecoderConfig& config, const BlockSlices& slices, std::vector<std::string>& names);

 private:
  void read(const BackwardContext& context, const BlockSlices& slices, Directions directions);
  void hand_over(const BackwardContext& context) const;

  void begin_chunk(const BackwardContext& context, const TokenChunk& chunk);
  // From input_ to `attended`, and in a serial block to `middle`; normed_ too.
  void attention_forward(const BackwardContext& context, const TokenChunk& chunk, BlockInside& inside);
  // normed_gradient = through the attention.
  void attention_backward(const BackwardContext& context, const TokenChunk& chunk, BlockInside& inside,
                          ConstMatrixView gradient, MatrixView<float> normed_gradient);
  void position_backward(const BackwardContext& context, const BlockInside& inside,
                         MatrixView<float> query_key_value_gradient);
  // gradient += through the MLP half of a serial block.
  void mlp_backward(const BackwardContext& context, const TokenChunk& chunk, BlockInside& inside, bool kept,
                    MatrixView<float> gradient);
  // normed_gradient += through the MLP of a parallel block.
  void parallel_mlp_backward(const BackwardContext& context, const TokenChunk& chunk, BlockInside& inside, bool kept,
                             ConstMatrixView gradient, MatrixView<float> normed_gradient);
  // Gate and up for rows begin ... of the chunk: as they were kept, or from their normed input.
  MatrixView<float> inner(const BackwardContext& context, BlockInside& inside, bool kept, std::size_t begin,
                          ConstMatrixView normed);

  std::span<const std::size_t> tokens_;
  std::span<const TokenChunk> chunks_;
  const RopeTables& ropes_;

  LinearBackward query_key_value_, output_;
  NormBackward input_norm_, post_attention_norm_, query_norm_, key_norm_, pre_mlp_norm_, post_mlp_norm_;
  MlpBackward mlp_;
  ExpertsBackward experts_;

  // Of the chunk at work, [tokens, ...].
  AlignedBuffer<float> input_, normed_, attended_gradient_, normed_gradient_;
  BlockInside inside_;  // where it is not kept
  AlignedBuffer<float> mlp_normed_, mlp_gradient_;
  MlpBackwardBuffers mlp_buffers_;
  std::vector<ChunkPiece> pieces_;
  std::vector<KeyValueCache> caches_;
  AttentionScratch attention_scratch_;
  AttentionBackwardScratch backward_scratch_;
};

}  // namespace lcomp
