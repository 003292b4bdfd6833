#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "forward/key_value_cache.h"
#include "lcomp/core/matrix.h"

namespace lcomp {

// Consecutive rows of a chunk that belong to one sequence: row first_row + i is the token at position first_position +
// i, and `cache` already holds the keys and values of positions 0 ... first_position + rows - 1.
struct AttentionSpan {
  std::size_t first_row = 0;
  std::size_t rows = 0;
  std::size_t first_position = 0;
  const KeyValueCache* cache = nullptr;
};

struct AttentionShape {
  std::size_t num_heads = 0;
  std::size_t num_key_value_heads = 0;
  std::size_t head_dim = 0;
  float scale = 1;         // multiplies q . k
  float softcap = 0;       // c: s -> c tanh(s / c); 0: none
  std::size_t window = 0;  // position i sees i - window + 1 ... i; 0: all of 0 ... i
};

// Working memory of attention(), kept between calls.
struct AttentionScratch {
  std::vector<AlignedBuffer<float>> workers;
};

// Causal attention with grouped heads: out = softmax(scale q k^T) v for every head, query head h reading key-value head
// h * num_key_value_heads / num_heads.
// queries, out: [tokens, num_heads * head_dim], rotary embedding applied. Scores exist for one block of queries times
// 64 keys at a time (online softmax, arXiv 2205.14135, algorithm 1); the queries of all heads that share a key-value
// head are multiplied together. Blocks that no query sees are skipped. The result does not depend on the number of
// threads, nor on how a sequence is cut into spans beyond the rounding of the order of sums.
void attention(const AttentionShape& shape, std::span<const AttentionSpan> spans, ConstMatrixView queries,
               MatrixView<float> out, AttentionScratch& scratch);

}  // namespace lcomp
