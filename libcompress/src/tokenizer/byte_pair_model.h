#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "lcomp/tokenizer/tokenizer.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/vocabulary.h"
#include "tokenizer/word_cache.h"

namespace lcomp {

inline constexpr std::string_view space_symbol = "\xe2\x96\x81";  // U+2581, stands for a space in SentencePiece models

struct BytePairOptions {
  std::optional<TokenId> unknown;  // stands for characters without a token; without one they vanish
  bool fuse_unknown = false;       // one unknown token for a run of unknown characters
  bool byte_fallback = false;      // unknown characters become the tokens <0x00> ... <0xFF> of their bytes
  bool ignore_merges = false;      // a word that is a token itself is that token, whatever the merges say
  // Characters that have no token although merges use them (in SentencePiece models): the symbols of these are the ids
  // from Vocabulary::id_limit() on, in this order. What no merge takes up of them counts as unknown.
  std::vector<char32_t> characters_without_token;
};

// Memory for BytePairModel::encode, with the words met before. One thread at a time, always with the same model.
struct BytePairScratch {
  WordCache cache;
  MergeScratch merge;
  std::vector<TokenId> symbols;
};

// A byte pair encoding over the characters of words, as the BPE model of Hugging Face tokenizers. Immutable.
class BytePairModel {
 public:
  BytePairModel(Vocabulary vocabulary, MergeTable merges, BytePairOptions options);

  const Vocabulary& vocabulary() const { return vocabulary_; }

  // Appends the ids of `word` (valid UTF-8, of any length up to 4 GiB) to `ids`. Throws Error beyond that.
  void encode(std::string_view word, BytePairScratch& scratch, std::vector<TokenId>& ids) const;

  // The byte that a token of the form <0x2A> stands for.
  static std::optional<std::uint8_t> byte_of_token(std::string_view token);

 private:
  static constexpr TokenId no_symbol = -1;

  TokenId symbol_of(char32_t code_point, std::string_view character) const;
  void find_cuts();
  bool may_cut_after(std::string_view text, std::size_t end) const;
  void encode_part(std::string_view part, BytePairScratch& scratch, std::vector<TokenId>& ids) const;
  void encode_symbols(std::string_view part, BytePairScratch& scratch) const;
  void name_characters_without_token(std::vector<TokenId>& symbols) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  BytePairOptions options_;
  std::vector<TokenId> symbols_of_characters_;     // of the code points below 65,536
  std::optional<std::array<TokenId, 256>> bytes_;  // with byte_fallback; no_symbol where a byte has no token

  // Where nothing splits a text into words, it is cut before U+2581 (a space), except after the characters that some
  // merge joins with a U+2581 to their right: no merge reaches over such a cut, so the result is the same, but words
  // repeat and can be cached.
  bool cuts_ = false;
  std::vector<char32_t> no_cut_after_;
};

}  // namespace lcomp
