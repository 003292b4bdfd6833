#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "forward/key_value_cache.h"
#include "forward/token_chunks.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// Keys and values of one block for the sequences of the chunk at work. A sequence that goes on in the next chunk keeps
// its cache, and so does a prefix until the last sequence that goes on from it has begun. Memory is kept from chunk to
// chunk and block to block.
class SequenceCaches {
 public:
  // Forgets everything; what follows is the batch, from its first chunk on. `batch` must live as long as it is used.
  void begin_block(const TokenBatch& batch, std::size_t key_value_heads, std::size_t head_dim);
  // Gives each sequence of the chunk a cache. Pointers hold until the next chunk.
  void begin_chunk(const TokenChunk& chunk);

  KeyValueCache* of(std::size_t sequence) { return used_.at(sequence).get(); }
  // The cache of the prefix of a sequence; null where it has none, or an empty one.
  const KeyValueCache* prefix(std::size_t sequence) const;

 private:
  const TokenBatch* batch_ = nullptr;
  std::size_t heads_ = 0;
  std::size_t head_dim_ = 0;
  std::vector<std::size_t> last_user_;  // [sequences] the last sequence that goes on from s; s itself without one
  std::map<std::size_t, std::unique_ptr<KeyValueCache>> used_;  // by sequence
  std::vector<std::unique_ptr<KeyValueCache>> free_;
};

}  // namespace lcomp
