#pragma once

#include <optional>
#include <vector>

#include "forward/block_forward.h"
#include "forward/sequence_caches.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// Throws Error when an id lies outside the vocabulary.
void check_ids(std::span<const std::int32_t> ids, const DecoderConfig& config, const std::string& where);

// Whether a sequence of this length uses longrope's long factors, for all its positions.
bool needs_long_factors(const RopeConfig& rope, std::size_t length);

// What a Decoder keeps between calls.
struct Decoder::State {
  State(ModelFolder folder, ComputeType compute_type);

  ModelFolder model;
  MatrixMultiplier multiplier;
  WeightReader reader;
  RopeTables ropes;
  NormWeights final_norm;
  LinearWeight head;                   // empty until it is needed
  std::vector<BlockWeights> resident;  // after load_all()
  BlockWeights streamed;               // the block at work, otherwise
  ChunkBuffers buffers;
  SequenceCaches caches;  // of the chunk at work

  void load_head();
  void load_final_norm();
  // Rows of the embedding, scaled. Throws Error for an id outside the vocabulary.
  void embed(const TensorSource& source, std::span<const std::int32_t> ids, MatrixView<float> out);
  // One block with resident weights on a chunk (generation).
  void run_resident_block(std::size_t layer, std::span<const ChunkPiece> pieces, MatrixView<float> states);
  void normalize(MatrixView<float> states);
  void logits(ConstMatrixView normed, MatrixView<float> logits);
};

}  // namespace lcomp
