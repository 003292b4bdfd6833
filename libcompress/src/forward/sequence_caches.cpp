#include "forward/sequence_caches.h"

namespace lcomp {

void SequenceCaches::begin_block(const TokenBatch& batch, std::size_t key_value_heads, std::size_t head_dim) {
  batch_ = &batch;
  for (auto& [sequence, cache] : used_) free_.push_back(std::move(cache));
  used_.clear();
  if (heads_ != key_value_heads || head_dim_ != head_dim) free_.clear();
  heads_ = key_value_heads;
  head_dim_ = head_dim;
  last_user_.resize(batch.sequences());
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    last_user_[s] = s;
    if (batch.prefix(s) != TokenBatch::no_prefix) last_user_[batch.prefix(s)] = s;
  }
}

void SequenceCaches::begin_chunk(const TokenChunk& chunk) {
  if (chunk.pieces.empty()) return;
  // Sequences below this one are past, but for prefixes.
  const std::size_t first = chunk.pieces.front().sequence;
  for (auto entry = used_.begin(); entry != used_.end() && entry->first < first;) {
    if (last_user_[entry->first] < first) {
      free_.push_back(std::move(entry->second));
      entry = used_.erase(entry);
    } else {
      ++entry;
    }
  }
  for (const SequencePiece& piece : chunk.pieces) {
    if (!piece.begins) continue;
    std::unique_ptr<KeyValueCache> cache;
    if (free_.empty()) {
      cache = std::make_unique<KeyValueCache>(heads_, head_dim_);
    } else {
      cache = std::move(free_.back());
      free_.pop_back();
      cache->truncate(0);
    }
    used_[piece.sequence] = std::move(cache);
  }
}

const KeyValueCache* SequenceCaches::prefix(std::size_t sequence) const {
  if (batch_->prefix_length(sequence) == 0) return nullptr;
  return used_.at(batch_->prefix(sequence)).get();
}

}  // namespace lcomp
