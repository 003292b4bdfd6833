#include "tokenizer/word_cache.h"

#include <cassert>
#include <utility>

#include "lcomp/core/hash.h"

namespace lcomp {
namespace {

constexpr std::size_t most_words = 65'536;
constexpr std::size_t most_bytes = 8 << 20;

}  // namespace

std::optional<std::span<const TokenId>> WordCache::find(std::string_view word) const {
  const std::uint64_t hash = hash64(word);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = hash & mask; slots_[at].used; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.hash == hash && std::string_view(words_.data() + slot.word_begin, slot.word_size) == word) {
      return std::span(ids_.data() + slot.ids_begin, slot.ids_count);
    }
  }
  return std::nullopt;
}

void WordCache::grow() {
  const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(2 * slots_.size()));
  const std::size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (!slot.used) continue;
    std::size_t at = slot.hash & mask;
    while (slots_[at].used) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

void WordCache::insert(std::string_view word, std::span<const TokenId> ids) {
  assert(word.size() <= longest_word);
  if (size_ == most_words || words_.size() + ids_.size() * sizeof(TokenId) > most_bytes) {
    slots_.assign(slots_.size(), Slot{});
    size_ = 0;
    words_.clear();
    ids_.clear();
  }
  if (2 * (size_ + 1) > slots_.size()) grow();
  const std::uint64_t hash = hash64(word);
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  while (slots_[at].used) at = (at + 1) & mask;
  slots_[at] = {hash,
                static_cast<std::uint32_t>(words_.size()),
                static_cast<std::uint32_t>(ids_.size()),
                static_cast<std::uint32_t>(ids.size()),
                static_cast<std::uint8_t>(word.size()),
                true};
  words_ += word;
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  ++size_;
}

}  // namespace lcomp
