#pragma once

#include <cstddef>
#include <vector>

#include "lcomp/models/decoder_config.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Stages of a block in the order of the forward pass: 0 query/key/value, 1 attention output, 2 gate/up and router,
// 3 down. The inputs of a stage depend on the outputs of those before (in a parallel block stage 2 on none).
constexpr std::size_t block_stages = 4;
constexpr std::size_t mlp_stage = 2;  // the first of the MLP half

// Linear layers of a block that are given the same input: the same features of the same tokens. A mixture's experts see
// some of the tokens, each others: an expert's layers are a group of their own.
struct SharedInput {
  std::size_t stage = 0;
  std::vector<const LinearSlices*> readers;  // those that the block has: never empty
  // What the input's channels are made by, at most one of the two: the norm before, or the linear layer that each
  // channel is a multiple of whatever else the block computes (value before the attention output, up in a gated MLP).
  const NormSlices* norm = nullptr;
  const LinearSlices* source = nullptr;
};

// All of a block in the order in which it needs them, a mixture's experts one after the other within a stage. Pointers
// are into `block`.
std::vector<SharedInput> shared_inputs(const DecoderConfig& config, const BlockSlices& block);

}  // namespace lcomp
