#pragma once

#include <cstddef>

#include "lcomp/core/matrix.h"

namespace lcomp {

// Keys (after the rotary embedding) and values of one sequence in one block. Tokens are kept in tiles of 64, laid out
// as attention reads them:
//   keys    [tile][key_value_head][head_dim][64 tokens]        transposed, so that one query meets 64 keys at a time
//   values  [tile][key_value_head][64 tokens][value_stride]    value_stride: head_dim rounded up to 16
class KeyValueCache {
 public:
  static constexpr std::size_t tile_tokens = 64;

  KeyValueCache() = default;
  KeyValueCache(std::size_t key_value_heads, std::size_t head_dim);

  std::size_t key_value_heads() const { return heads_; }
  std::size_t length() const { return length_; }
  std::size_t value_stride() const { return value_stride_; }
  void truncate(std::size_t length);  // forgets all tokens from `length` on; keeps the memory
  void reserve(std::size_t tokens);   // so that append() does not move what is there

  // The first other.length() tokens become those of `other`, which has the same shape; the rest is forgotten.
  void assign(const KeyValueCache& other);

  // Appends the tokens whose keys and values are the rows: [tokens, key_value_heads * head_dim].
  void append(ConstMatrixView keys, ConstMatrixView values);

  const float* keys(std::size_t tile, std::size_t head) const {
    return keys_.data() + (tile * heads_ + head) * key_tile_size();
  }
  const float* values(std::size_t tile, std::size_t head) const {
    return values_.data() + (tile * heads_ + head) * value_tile_size();
  }

 private:
  std::size_t key_tile_size() const { return head_dim_ * tile_tokens; }
  std::size_t value_tile_size() const { return value_stride_ * tile_tokens; }

  std::size_t heads_ = 0;
  std::size_t head_dim_ = 0;
  std::size_t value_stride_ = 0;
  std::size_t length_ = 0;
  std::size_t tiles_ = 0;  // allocated
  AlignedBuffer<float> keys_;
  AlignedBuffer<float> values_;
};

}  // namespace lcomp
