#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "forward/block_backward.h"
#include "forward/decoder_state.h"
#include "forward/gradient_sums.h"
#include "forward/linear_backward.h"
#include "forward/token_chunks.h"
#include "lcomp/forward/gradients.h"

namespace lcomp {

// One call of gradients().
class GradientPass {
 public:
  // Throws Error for what gradients() refuses before it begins.
  GradientPass(Decoder& decoder, const TokenBatch& batch, LogitCost& cost, GradientVisitor& visitor,
               const GradientOptions& options);
  double run();
  // What block_gradients() returns.
  double run_block(std::size_t layer, ConstMatrixView input, ConstMatrixView target);
  // A block forwards, in place.
  void run_block(std::size_t layer, MatrixView<float> states);

 private:
  BackwardContext context(std::size_t layer);
  // The residual stream after the last block; the inputs of all blocks are in inputs_ then.
  void forward();
  // From states_ to gradient_; the cost.
  double run_head();
  void run_blocks();
  // How many of the last blocks keep their inside.
  std::size_t kept_blocks() const;
  void run_embedding();
  void require_finite(ConstMatrixView values, const std::string& what) const;
  std::size_t logit_rows() const;

  Decoder::State& state_;
  const DecoderConfig& config_;
  const TokenBatch& batch_;
  LogitCost& cost_;
  GradientVisitor& visitor_;
  const GradientOptions& options_;
  const TensorSource& weights_;
  const DecoderSlices& slices_;
  Decoder& decoder_;
  Progress progress_;
  LinearSlices head_slices_;                // of a tied head: the embedding
  std::vector<std::size_t> tokens_;         // 0, 1, ...
  std::vector<std::size_t> scored_tokens_;  // those with a cost
  std::vector<TokenChunk> chunks_;
  BlockBackward block_;
  std::vector<std::vector<BlockInside>> insides_;  // [layers]; empty where they are computed again
  ResidualStream inputs_;                          // [layers * tokens, hidden]: the input of every block
  Matrix states_;                                  // [tokens, hidden]
  Matrix gradient_;                                // [tokens, hidden]
  AlignedBuffer<float> embedding_sums_;            // [vocab, hidden], once there is something to add to
};

}  // namespace lcomp
