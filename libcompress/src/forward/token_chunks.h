#pragma once

#include <cstddef>
#include <vector>

#include "lcomp/forward/decoder.h"

namespace lcomp {

// Tokens are taken through a block this many at a time: enough for the matrix products to run at full speed, few enough
// for the activations between them to stay in the cache. Chunks depend on the batch alone, not on the number of
// threads.
constexpr std::size_t chunk_tokens = 512;

struct SequencePiece {
  std::size_t sequence = 0;
  std::size_t first_row = 0;  // within the chunk
  std::size_t rows = 0;
  std::size_t first_position = 0;   // in the whole sequence, its prefix included
  std::size_t sequence_length = 0;  // same
  bool begins = true;               // false: the sequence began in an earlier chunk
};

struct TokenChunk {
  std::size_t first_token = 0;
  std::size_t tokens = 0;
  std::vector<SequencePiece> pieces;  // in order; a sequence may go on in the next chunk
};

// Cuts a batch into chunks of chunk_tokens tokens, the last one shorter. Empty sequences have no piece.
std::vector<TokenChunk> cut_into_chunks(const TokenBatch& batch);

// Cuts a batch without prefixes between sequences into chunks of at most `tokens_at_once` tokens; a longer sequence is
// a chunk of its own.
std::vector<TokenChunk> cut_between_sequences(const TokenBatch& batch, std::size_t tokens_at_once);

}  // namespace lcomp
