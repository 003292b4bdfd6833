#include "forward/key_value_cache.h"

#include <algorithm>
#include <cassert>

#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"

namespace lcomp {

KeyValueCache::KeyValueCache(std::size_t key_value_heads, std::size_t head_dim)
    : heads_(key_value_heads), head_dim_(head_dim), value_stride_(divide_up<std::size_t>(head_dim, 16) * 16) {}

void KeyValueCache::truncate(std::size_t length) {
  assert(length <= length_);
  length_ = length;
}

void KeyValueCache::reserve(std::size_t tokens) {
  const std::size_t needed = divide_up(tokens, tile_tokens);
  if (needed <= tiles_) return;
  const std::size_t tiles = std::max(needed, tiles_ + tiles_ / 2);
  const auto grow = [&](AlignedBuffer<float>& buffer, std::size_t tile_size) {
    AlignedBuffer<float> larger(tiles * heads_ * tile_size);
    std::copy_n(buffer.data(), buffer.size(), larger.data());
    // The padding of value rows is read (and its result dropped): zeros, so that it is no NaN by accident.
    std::fill(larger.data() + buffer.size(), larger.data() + larger.size(), 0.0f);
    buffer = std::move(larger);
  };
  grow(keys_, key_tile_size());
  grow(values_, value_tile_size());
  tiles_ = tiles;
}

void KeyValueCache::assign(const KeyValueCache& other) {
  assert(heads_ == other.heads_ && head_dim_ == other.head_dim_);
  length_ = 0;
  reserve(other.length_);
  const std::size_t tiles = divide_up(other.length_, tile_tokens);
  std::copy_n(other.keys_.data(), tiles * heads_ * key_tile_size(), keys_.data());
  std::copy_n(other.values_.data(), tiles * heads_ * value_tile_size(), values_.data());
  length_ = other.length_;
}

void KeyValueCache::append(ConstMatrixView keys, ConstMatrixView values) {
  const std::size_t tokens = keys.rows();
  assert(values.rows() == tokens && keys.cols() == heads_ * head_dim_ && values.cols() == heads_ * head_dim_);
  reserve(length_ + tokens);
  parallel_for(
      0, tokens,
      [&](std::size_t t) {
        const std::size_t tile = (length_ + t) / tile_tokens;
        const std::size_t slot = (length_ + t) % tile_tokens;
        for (std::size_t h = 0; h < heads_; ++h) {
          const float* key = keys.row(t).data() + h * head_dim_;
          float* column = keys_.data() + (tile * heads_ + h) * key_tile_size() + slot;
          for (std::size_t i = 0; i < head_dim_; ++i) column[i * tile_tokens] = key[i];
          float* row = values_.data() + (tile * heads_ + h) * value_tile_size() + slot * value_stride_;
          std::copy_n(values.row(t).data() + h * head_dim_, head_dim_, row);
        }
      },
      64);
  length_ += tokens;
}

}  // namespace lcomp
