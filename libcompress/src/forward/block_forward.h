#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <vector>

#include "forward/attention.h"
#include "forward/block_weights.h"
#include "forward/rope.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// A stretch of one sequence in a chunk of tokens, before its keys and values are known.
struct ChunkPiece {
  std::size_t first_row = 0;  // within the chunk
  std::size_t rows = 0;
  std::size_t first_position = 0;  // == cache->length(), or prefix->length() where there is one
  bool long_sequence = false;      // longrope: which factors
  KeyValueCache* cache = nullptr;
  const KeyValueCache* prefix = nullptr;  // copied to `cache` first; filled by an earlier piece of the chunk, if not
                                          // before
};

// Rotary tables of a model: [rope][long_sequence].
class RopeTables {
 public:
  explicit RopeTables(const DecoderConfig& config);
  void extend(std::size_t positions);
  const RopeTable& table(std::size_t rope, bool long_sequence) const {
    return tables_[2 * rope + (long_sequence ? 1 : 0)];
  }

 private:
  std::vector<RopeTable> tables_;
  std::vector<bool> used_;  // the long table of a rope that has none is never filled
};

// Working memory for one chunk of tokens, kept from chunk to chunk. Its size is that of the largest chunk.
struct ChunkBuffers {
  AlignedBuffer<float> normed, query_key_value, attended, inner, activated, update;
  AttentionScratch attention;
};

// The first rows * cols values of a buffer, which grows where it is too small and then loses what it held.
inline MatrixView<float> shaped(AlignedBuffer<float>& buffer, std::size_t rows, std::size_t cols) {
  if (buffer.size() < rows * cols) buffer = AlignedBuffer<float>(rows * cols);
  return {buffer.data(), rows, cols};
}

// Where the linear layers of a block report what they are given.
struct InputReport {
  BlockVisitor* visitor = nullptr;
  std::size_t layer = 0;
  const BlockSlices* slices = nullptr;
  std::size_t first_token = 0;                      // of the chunk
  std::span<const std::size_t> expert_tokens = {};  // instead, inside an expert

  void operator()(std::initializer_list<const LinearSlices*> parts, ConstMatrixView input) const;
};

// Norms of q and k and the rotary embedding, in place, on rows [q | k | v] of a chunk.
void position_queries_and_keys(const DecoderConfig& config, const LayerConfig& layer, const NormWeights& query_norm,
                               const NormWeights& key_norm, std::span<const ChunkPiece> pieces, const RopeTables& ropes,
                               MatrixView<float> query_key_value);

AttentionShape attention_shape(const DecoderConfig& config, const LayerConfig& layer);

// attended [tokens, query_size] = attention(q, k, v) of rows [q | k | v]. Keys and values are appended to the caches.
void attend(const DecoderConfig& config, const LayerConfig& layer, std::span<const ChunkPiece> pieces,
            ConstMatrixView query_key_value, MatrixView<float> attended, AttentionScratch& scratch);

// states += attention(norm(states)) for a chunk: [tokens, hidden]. Keys and values of the pieces are appended to their
// caches.
void run_attention(const DecoderConfig& config, const LayerConfig& layer, const AttentionWeights& weights,
                   std::span<const ChunkPiece> pieces, const RopeTables& ropes, MatrixMultiplier& multiplier,
                   const InputReport& report, ChunkBuffers& buffers, MatrixView<float> states);

// states += mlp(norm(states)) for a chunk.
void run_mlp(const DecoderConfig& config, const MlpWeights& weights, MatrixMultiplier& multiplier,
             const InputReport& report, ChunkBuffers& buffers, MatrixView<float> states);

// update = down(act(gate(normed)) * up(normed)), or down(act(up(normed))). normed, update: [tokens, hidden]
void compute_mlp(const DecoderConfig& config, const MlpWeights& weights, const MlpSlices& slices,
                 MatrixMultiplier& multiplier, const InputReport& report, ChunkBuffers& buffers, ConstMatrixView normed,
                 MatrixView<float> update);

// Both halves of a parallel block: states += attention(norm(states)) + mlp(norm(states)).
void run_parallel_block(const DecoderConfig& config, const LayerConfig& layer, const BlockWeights& weights,
                        std::span<const ChunkPiece> pieces, const RopeTables& ropes, MatrixMultiplier& multiplier,
                        const InputReport& report, ChunkBuffers& buffers, MatrixView<float> states);

}  // namespace lcomp
