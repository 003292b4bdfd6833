#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {

// The tokens of a model: distinct strings with distinct ids >= 0. Strings lie in one block of memory, found through an
// open-addressing table of their hashes.
class Vocabulary {
 public:
  // Errors name `where`, the place in a file that the tokens come from.
  explicit Vocabulary(std::string where) : where_(std::move(where)) {}

  void reserve(std::size_t tokens);
  // Throws Error when the token is there already or is not valid UTF-8, or the id is negative.
  void add(std::string_view token, std::int64_t id);
  // Must be called after the last add(): makes the way from ids to tokens. Throws Error when two tokens have one id, or
  // when the ids are so far apart (more than a million plus 16 for each token) that the file must be damaged.
  void finish();

  std::size_t size() const { return entries_.size(); }
  std::size_t id_limit() const { return by_id_.size(); }  // largest id + 1
  std::optional<TokenId> find(std::string_view token) const;
  std::optional<std::string_view> token(TokenId id) const;

 private:
  struct Entry {
    std::size_t offset;
    std::uint32_t length;
    TokenId id;
  };
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t entry = 0;  // index into entries_ + 1; 0: free
  };
  std::string_view text(const Entry& entry) const { return {text_.data() + entry.offset, entry.length}; }
  void grow(std::size_t slot_count);
  const Slot& slot_of(std::string_view token, std::uint64_t hash) const;

  std::string where_;
  std::string text_;
  std::vector<Entry> entries_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> by_id_;  // index into entries_ + 1; 0: no such id
};

}  // namespace lcomp
