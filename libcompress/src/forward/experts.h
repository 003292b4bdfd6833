#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "forward/block_forward.h"

namespace lcomp {

// The tokens of one expert, ascending, and their share of it.
struct ExpertTokens {
  std::vector<std::size_t> tokens;
  std::vector<float> shares;
};

// Adds each row to the tokens of the experts with its largest logits (equal ones: the lower number); its shares are the
// softmax over these. logits: [tokens, experts], row i is token first_token + i.
void choose_experts(ConstMatrixView logits, std::size_t first_token, std::size_t experts_per_token,
                    std::vector<ExpertTokens>& experts);

// The MLP half of a mixture of experts: states += sum over the chosen experts e of p_e mlp_e(norm(states)).
// The router's logits choose experts_per_token experts for each token (equal logits: the lower number); p is the
// softmax over the chosen, which equals the softmax over all renormalised to sum 1. Source: arXiv 2401.04088,
// section 2.1. states: [tokens, hidden], all tokens, since an expert is loaded once: expert(e) gives its weights, asked
// for in ascending order and only for experts that some token chose. Needs a copy of the normed states beside the chunk
// buffers.
void run_experts(const DecoderConfig& config, const RouterWeights& weights,
                 const std::function<const MlpWeights&(std::size_t)>& expert, MatrixMultiplier& multiplier,
                 BlockVisitor* visitor, std::size_t layer, const BlockSlices& slices, ChunkBuffers& buffers,
                 MatrixView<float> states);

}  // namespace lcomp
