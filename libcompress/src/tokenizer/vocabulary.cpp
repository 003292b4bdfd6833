#include "tokenizer/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <span>

#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/core/sizes.h"
#include "tokenizer/unicode.h"

namespace lcomp {

void Vocabulary::reserve(std::size_t tokens) {
  entries_.reserve(tokens);
  std::size_t slots = 16;
  while (slots < 2 * tokens) slots *= 2;
  if (slots > slots_.size()) grow(slots);
}

void Vocabulary::grow(std::size_t slot_count) {
  slots_.assign(slot_count, Slot{});
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const std::uint64_t hash = hash64(text(entries_[i]));
    std::size_t at = hash & (slot_count - 1);
    while (slots_[at].entry != 0) at = (at + 1) & (slot_count - 1);
    slots_[at] = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(i + 1)};
  }
}

const Vocabulary::Slot& Vocabulary::slot_of(std::string_view token, std::uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.entry == 0 || (slot.hash == tag && text(entries_[slot.entry - 1]) == token)) return slot;
  }
}

void Vocabulary::add(std::string_view token, std::int64_t id) {
  if (id < 0 || id >= std::numeric_limits<TokenId>::max()) {
    throw Error(
        {where_, fmt::format("the id {} of the token \"{}\"", id, excerpt(token)), "an id from 0 to 2^31 - 2", ""});
  }
  if (!is_valid_utf8(token))
    throw Error({where_, fmt::format("the token of id {}, which is not valid UTF-8", id), "UTF-8", ""});
  if (2 * (entries_.size() + 1) > slots_.size()) grow(std::max<std::size_t>(16, 2 * slots_.size()));
  const std::uint64_t hash = hash64(token);
  auto& slot = const_cast<Slot&>(slot_of(token, hash));
  if (slot.entry != 0)
    throw Error({where_, fmt::format("the token \"{}\" twice", excerpt(token)), "distinct tokens", ""});
  entries_.push_back({text_.size(), checked_cast<std::uint32_t>(token.size(), where_), static_cast<TokenId>(id)});
  text_ += token;
  slot = {static_cast<std::uint32_t>(hash >> 32), checked_cast<std::uint32_t>(entries_.size(), where_)};
}

void Vocabulary::finish() {
  if (slots_.empty()) grow(16);
  TokenId largest = -1;
  for (const Entry& entry : entries_) largest = std::max(largest, entry.id);
  const auto limit = static_cast<std::size_t>(largest + 1);
  if (limit > 16 * entries_.size() + 1'000'000) {
    throw Error(
        {where_, fmt::format("an id of {} among {} tokens", largest, entries_.size()), "ids without large holes", ""});
  }
  by_id_.assign(limit, 0);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    std::uint32_t& index = by_id_[static_cast<std::size_t>(entries_[i].id)];
    if (index != 0) {
      throw Error({where_,
                   fmt::format("the id {} of both \"{}\" and \"{}\"", entries_[i].id,
                               excerpt(text(entries_[index - 1])), excerpt(text(entries_[i]))),
                   "distinct ids", ""});
    }
    index = static_cast<std::uint32_t>(i + 1);
  }
}

std::optional<TokenId> Vocabulary::find(std::string_view token) const {
  const Slot& slot = slot_of(token, hash64(token));
  if (slot.entry == 0) return std::nullopt;
  return entries_[slot.entry - 1].id;
}

std::optional<std::string_view> Vocabulary::token(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= by_id_.size()) return std::nullopt;
  const std::uint32_t index = by_id_[static_cast<std::size_t>(id)];
  if (index == 0) return std::nullopt;
  return text(entries_[index - 1]);
}

}  // namespace lcomp
