#include "tokenizer/merge_table.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <limits>
#include <utility>

namespace lcomp {
namespace {

constexpr std::uint32_t no_merge = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint32_t nobody = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t longest_short_word = 48;

std::uint32_t rank_of(const MergeTable& merges, TokenId left, TokenId right) {
  const MergeTable::Merge* merge = merges.find(left, right);
  return merge == nullptr ? no_merge : merge->rank;
}

// ranks[i] is the rank of the pair (i, i + 1); the lowest is searched for afresh each time.
void merge_short(const MergeTable& merges, std::vector<TokenId>& symbols, MergeScratch& scratch) {
  std::size_t count = symbols.size();
  std::vector<std::uint32_t>& ranks = scratch.ranks;
  ranks.resize(count);
  for (std::size_t i = 0; i + 1 < count; ++i) ranks[i] = rank_of(merges, symbols[i], symbols[i + 1]);
  while (count > 1) {
    const auto end = ranks.begin() + static_cast<std::ptrdiff_t>(count - 1);
    const auto lowest = std::min_element(ranks.begin(), end);
    if (*lowest == no_merge) break;
    const auto i = static_cast<std::size_t>(lowest - ranks.begin());
    symbols[i] = merges.find(symbols[i], symbols[i + 1])->merged;
    std::copy(symbols.begin() + static_cast<std::ptrdiff_t>(i + 2),
              symbols.begin() + static_cast<std::ptrdiff_t>(count),
              symbols.begin() + static_cast<std::ptrdiff_t>(i + 1));
    std::copy(lowest + 1, end, lowest);
    --count;
    if (i > 0) ranks[i - 1] = rank_of(merges, symbols[i - 1], symbols[i]);
    if (i + 1 < count) ranks[i] = rank_of(merges, symbols[i], symbols[i + 1]);
  }
  symbols.resize(count);
}

// Symbols are a doubly linked list; a heap holds (rank, position of the left symbol) of every pair that could be merged
// when it was formed. An entry whose pair has changed since is recognised by its rank and dropped.
void merge_long(const MergeTable& merges, std::vector<TokenId>& symbols, MergeScratch& scratch) {
  assert(symbols.size() < nobody);
  constexpr TokenId removed = -1;
  const auto count = static_cast<std::uint32_t>(symbols.size());
  scratch.previous.resize(count);
  scratch.next.resize(count);
  scratch.queue.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    scratch.previous[i] = i == 0 ? nobody : i - 1;
    scratch.next[i] = i + 1 == count ? nobody : i + 1;
  }
  const auto entry_of = [&](std::uint32_t left) -> std::uint64_t {
    return static_cast<std::uint64_t>(rank_of(merges, symbols[left], symbols[scratch.next[left]])) << 32 | left;
  };
  for (std::uint32_t i = 0; i + 1 < count; ++i) {
    const std::uint64_t entry = entry_of(i);
    if (entry >> 32 != no_merge) scratch.queue.push_back(entry);
  }
  const auto later = std::greater<std::uint64_t>();
  std::make_heap(scratch.queue.begin(), scratch.queue.end(), later);
  const auto push = [&](std::uint32_t left) {
    const std::uint64_t entry = entry_of(left);
    if (entry >> 32 == no_merge) return;
    scratch.queue.push_back(entry);
    std::push_heap(scratch.queue.begin(), scratch.queue.end(), later);
  };
  while (!scratch.queue.empty()) {
    std::pop_heap(scratch.queue.begin(), scratch.queue.end(), later);
    const std::uint64_t entry = scratch.queue.back();
    scratch.queue.pop_back();
    const auto left = static_cast<std::uint32_t>(entry);
    if (symbols[left] == removed || scratch.next[left] == nobody) continue;
    const std::uint32_t right = scratch.next[left];
    const MergeTable::Merge* merge = merges.find(symbols[left], symbols[right]);
    if (merge == nullptr || merge->rank != entry >> 32) continue;
    symbols[left] = merge->merged;
    symbols[right] = removed;
    scratch.next[left] = scratch.next[right];
    if (scratch.next[left] != nobody) scratch.previous[scratch.next[left]] = left;
    if (scratch.previous[left] != nobody) push(scratch.previous[left]);
    if (scratch.next[left] != nobody) push(left);
  }
  std::erase(symbols, removed);
}

}  // namespace

void MergeTable::reserve(std::size_t merges) {
  std::size_t slots = slots_.size();
  while (3 * slots < 4 * merges) slots *= 2;
  if (slots > slots_.size()) grow(slots);
}

void MergeTable::grow(std::size_t slot_count) {
  std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slot_count));
  for (const Slot& slot : old) {
    if (slot.key == free_key) continue;
    std::size_t at = place(slot.key);
    while (slots_[at].key != free_key) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }
}

void MergeTable::set(TokenId left, TokenId right, Merge merge) {
  if (4 * (size_ + 1) > 3 * slots_.size()) grow(2 * slots_.size());
  const std::uint64_t key = key_of(left, right);
  std::size_t at = place(key);
  while (slots_[at].key != free_key && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
  if (slots_[at].key == free_key) ++size_;
  slots_[at] = {key, merge};
}

void merge_symbols(const MergeTable& merges, std::vector<TokenId>& symbols, MergeScratch& scratch) {
  if (symbols.size() <= longest_short_word) {
    merge_short(merges, symbols, scratch);
  } else {
    merge_long(merges, symbols, scratch);
  }
}

}  // namespace lcomp
