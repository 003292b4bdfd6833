#include "tokenizer/byte_pair_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "lcomp/core/error.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

constexpr std::size_t tabulated_code_points = 0x10000;
constexpr std::size_t most_exceptions = 32;  // a longer list would be slow to search, and leave few cuts

}  // namespace

std::optional<std::uint8_t> BytePairModel::byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : token.substr(3, 2)) {
    if (c >= '0' && c <= '9') {
      value = 16 * value + static_cast<unsigned>(c - '0');
    } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
      value = 16 * value + static_cast<unsigned>((c | 0x20) - 'a') + 10;
    } else {
      return std::nullopt;
    }
  }
  return static_cast<std::uint8_t>(value);
}

BytePairModel::BytePairModel(Vocabulary vocabulary, MergeTable merges, BytePairOptions options)
    : vocabulary_(std::move(vocabulary)), merges_(std::move(merges)), options_(std::move(options)) {
  symbols_of_characters_.assign(tabulated_code_points, no_symbol);
  for (std::size_t i = 0; i < vocabulary_.id_limit(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const auto token = vocabulary_.token(id);
    if (!token || token->empty() || token->size() > 4) continue;
    const auto [code_point, size] = character_at(*token, 0);
    if (size == token->size() && code_point < tabulated_code_points) symbols_of_characters_[code_point] = id;
  }
  for (std::size_t i = 0; i < options_.characters_without_token.size(); ++i) {
    const char32_t code_point = options_.characters_without_token[i];
    if (code_point < tabulated_code_points) {
      symbols_of_characters_[code_point] = static_cast<TokenId>(vocabulary_.id_limit() + i);
    }
  }
  if (options_.byte_fallback) {
    bytes_.emplace();
    for (unsigned byte = 0; byte < 256; ++byte) {
      (*bytes_)[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(no_symbol);
    }
  }
  find_cuts();
}

TokenId BytePairModel::symbol_of(char32_t code_point, std::string_view character) const {
  if (code_point < tabulated_code_points) return symbols_of_characters_[code_point];
  if (const auto id = vocabulary_.find(character)) return *id;
  const auto& nameless = options_.characters_without_token;
  const auto found = std::find(nameless.begin(), nameless.end(), code_point);
  if (found == nameless.end()) return no_symbol;
  return static_cast<TokenId>(vocabulary_.id_limit() + static_cast<std::size_t>(found - nameless.begin()));
}

void BytePairModel::find_cuts() {
  // Where unknown characters vanish, the symbols on both sides of one become neighbours.
  const bool every_character_has_a_symbol =
      options_.unknown || (bytes_ && std::find(bytes_->begin(), bytes_->end(), no_symbol) == bytes_->end());
  cuts_ = every_character_has_a_symbol && !options_.ignore_merges && vocabulary_.find(space_symbol).has_value();
  if (!cuts_) return;
  // A symbol that does not stand for its own text could take part in a merge whose text says nothing of what it reaches
  // over.
  std::vector<bool> stands_for_other_text(vocabulary_.id_limit() + options_.characters_without_token.size(), false);
  const auto mark = [&](TokenId id) {
    if (id != no_symbol) stands_for_other_text[static_cast<std::size_t>(id)] = true;
  };
  if (options_.unknown) mark(*options_.unknown);
  if (bytes_) std::for_each(bytes_->begin(), bytes_->end(), mark);
  merges_.for_each([&](TokenId left, TokenId right, MergeTable::Merge) {
    if (stands_for_other_text[static_cast<std::size_t>(left)] ||
        stands_for_other_text[static_cast<std::size_t>(right)]) {
      cuts_ = false;
    }
  });
  // What a merge makes is a token.
  for (std::size_t i = 0; i < vocabulary_.id_limit(); ++i) {
    const std::string_view text = vocabulary_.token(static_cast<TokenId>(i)).value_or("");
    for (auto at = text.find(space_symbol, 1); at < text.size(); at = text.find(space_symbol, at + 1)) {
      const char32_t before = character_before(text, at).code_point;
      if (std::find(no_cut_after_.begin(), no_cut_after_.end(), before) == no_cut_after_.end()) {
        no_cut_after_.push_back(before);
        if (no_cut_after_.size() > most_exceptions) {
          cuts_ = false;
          return;
        }
      }
    }
  }
}

bool BytePairModel::may_cut_after(std::string_view text, std::size_t end) const {
  const char32_t before = character_before(text, end).code_point;
  return std::find(no_cut_after_.begin(), no_cut_after_.end(), before) == no_cut_after_.end();
}

void BytePairModel::encode(std::string_view word, BytePairScratch& scratch, std::vector<TokenId>& ids) const {
  if (word.size() >= std::numeric_limits<std::uint32_t>::max()) {
    throw Error(
        {"encoding text", fmt::format("a piece of {} bytes", word.size()), "pieces below 4 GiB", "Split the text."});
  }
  std::size_t begin = 0;
  if (cuts_) {
    for (std::size_t at = word.find(space_symbol, 1); at < word.size();
         at = word.find(space_symbol, at + space_symbol.size())) {
      if (!may_cut_after(word, at)) continue;
      encode_part(word.substr(begin, at - begin), scratch, ids);
      begin = at;
    }
  }
  if (begin < word.size()) encode_part(word.substr(begin), scratch, ids);
}

void BytePairModel::encode_part(std::string_view part, BytePairScratch& scratch, std::vector<TokenId>& ids) const {
  const bool cached = part.size() <= WordCache::longest_word;
  if (cached) {
    if (const auto known = scratch.cache.find(part)) {
      ids.insert(ids.end(), known->begin(), known->end());
      return;
    }
  }
  scratch.symbols.clear();
  const auto whole = options_.ignore_merges ? vocabulary_.find(part) : std::nullopt;
  if (whole) {
    scratch.symbols.push_back(*whole);
  } else {
    encode_symbols(part, scratch);
    merge_symbols(merges_, scratch.symbols, scratch.merge);
    if (!options_.characters_without_token.empty()) name_characters_without_token(scratch.symbols);
  }
  if (cached) scratch.cache.insert(part, scratch.symbols);
  ids.insert(ids.end(), scratch.symbols.begin(), scratch.symbols.end());
}

// One symbol for each character. A pending unknown token is written when the next known character comes, not before the
// bytes of a later unknown one: the order that Hugging Face tokenizers has.
void BytePairModel::encode_symbols(std::string_view part, BytePairScratch& scratch) const {
  bool unknown_pending = false;
  const auto write_pending = [&] {
    if (unknown_pending) scratch.symbols.push_back(*options_.unknown);
    unknown_pending = false;
  };
  for (std::size_t at = 0; at < part.size();) {
    const auto [code_point, size] = character_at(part, at);
    const std::string_view character = part.substr(at, size);
    at += size;
    const TokenId symbol = symbol_of(code_point, character);
    if (symbol != no_symbol) {
      write_pending();
      scratch.symbols.push_back(symbol);
      continue;
    }
    const auto token_of = [this](char c) { return (*bytes_)[static_cast<std::uint8_t>(c)]; };
    if (bytes_ && std::all_of(character.begin(), character.end(), [&](char c) { return token_of(c) != no_symbol; })) {
      for (const char c : character) scratch.symbols.push_back(token_of(c));
      continue;
    }
    if (!options_.unknown) continue;
    if (!options_.fuse_unknown) write_pending();
    unknown_pending = true;
  }
  write_pending();
}

void BytePairModel::name_characters_without_token(std::vector<TokenId>& symbols) const {
  std::vector<TokenId> named;
  for (const TokenId symbol : symbols) {
    const std::size_t limit = vocabulary_.id_limit();
    if (static_cast<std::size_t>(symbol) < limit) {
      named.push_back(symbol);
      continue;
    }
    std::string character;
    append_character(character, options_.characters_without_token[static_cast<std::size_t>(symbol) - limit]);
    if (bytes_) {
      for (const char c : character) named.push_back((*bytes_)[static_cast<std::uint8_t>(c)]);
    } else if (options_.unknown && !(options_.fuse_unknown && !named.empty() && named.back() == *options_.unknown)) {
      named.push_back(*options_.unknown);
    }
  }
  symbols = std::move(named);
}

}  // namespace lcomp
