#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {

// The tokens of words met before. It never forgets single words: when it is full (65,536 words or 8 MiB of text and
// ids), it starts anew. One thread at a time.
class WordCache {
 public:
  WordCache() : slots_(1024) {}

  // Words longer than this are not worth keeping.
  static constexpr std::size_t longest_word = 64;

  std::optional<std::span<const TokenId>> find(std::string_view word) const;
  void insert(std::string_view word, std::span<const TokenId> ids);  // `word` is not in the cache

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t word_begin = 0;
    std::uint32_t ids_begin = 0;
    std::uint32_t ids_count = 0;
    std::uint8_t word_size = 0;
    bool used = false;
  };
  void grow();

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
  std::string words_;
  std::vector<TokenId> ids_;
};

}  // namespace lcomp
