#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {

// The merges of a byte pair encoding: which neighbouring symbols may become one, and which of them first.
// An open-addressing table keyed by both ids, 16 bytes an entry.
class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank;  // the lower, the sooner
    TokenId merged;
  };

  MergeTable() : slots_(16) {}
  void reserve(std::size_t merges);
  void set(TokenId left, TokenId right, Merge merge);  // replaces an earlier merge of the same pair

  const Merge* find(TokenId left, TokenId right) const {  // nullptr: not merged
    const std::uint64_t key = key_of(left, right);
    for (std::size_t at = place(key);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].key == key) return &slots_[at].merge;
      if (slots_[at].key == free_key) return nullptr;
    }
  }

  std::size_t size() const { return size_; }
  // Calls visit(left, right, merge) for each merge, in no order.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Slot& slot : slots_) {
      if (slot.key != free_key) visit(static_cast<TokenId>(slot.key >> 32), static_cast<TokenId>(slot.key), slot.merge);
    }
  }

 private:
  static constexpr std::uint64_t free_key = ~std::uint64_t{0};  // ids are >= 0, so no pair has this key
  struct Slot {
    std::uint64_t key = free_key;
    Merge merge{};
  };
  static std::uint64_t key_of(TokenId left, TokenId right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t place(std::uint64_t key) const {
    return static_cast<std::size_t>((key ^ key >> 29) * 0x9e3779b97f4a7c15u >> 32) & (slots_.size() - 1);
  }
  void grow(std::size_t slot_count);

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

// Memory for merge_symbols, reused from word to word.
struct MergeScratch {
  std::vector<std::uint32_t> ranks;
  std::vector<std::uint32_t> previous, next;
  std::vector<std::uint64_t> queue;
};

// Byte pair encoding proper: while any two neighbours can be merged, merges the pair of lowest rank, the leftmost one
// of several. `symbols` are replaced by what remains. At most 2^32 - 2 symbols. Source: Sennrich et al., arXiv
// 1508.07909. O(n^2) with a tiny constant for short words, O(n log n) for long ones.
void merge_symbols(const MergeTable& merges, std::vector<TokenId>& symbols, MergeScratch& scratch);

}  // namespace lcomp
