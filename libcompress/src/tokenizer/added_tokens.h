#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/tokenizer/tokenizer.h"
#include "tokenizer/text_pattern.h"

namespace lcomp {

// A token that is found in the text itself, before the model sees it (an entry of added_tokens in tokenizer.json).
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool single_word = false;  // only where no word character stands next to it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // takes the white space after it along
  bool normalized = true;    // searched for in the normalized text (and normalized itself), not in the raw one
  bool special = false;      // left out by decode(..., skip_special)
};

// A piece of text between added tokens (no id), or one of them with the white space it took along.
struct TextSegment {
  TextRange range;
  std::optional<TokenId> id;
};

// Finds a set of tokens in texts: of all that begin at the leftmost place, the longest; then on from its end. A trie
// over bytes. O(text) where no token begins, plus the length of the longest token at each place where one may. Source:
// added_vocabulary of Hugging Face tokenizers, whose corner cases it follows (a token refused by single_word still
// hides those that overlap it).
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() { first_nodes_.fill(no_node); }

  // Searches for `pattern` (ignored when empty) and reports `token`. Of equal patterns the last one counts.
  void add(std::string_view pattern, const AddedToken& token);
  bool empty() const { return nodes_.empty(); }

  // Replaces `segments` by those that cover `text` (valid UTF-8), in order. Empty stretches between tokens are left
  // out.
  void split(std::string_view text, std::vector<TextSegment>& segments) const;

 private:
  static constexpr std::uint32_t no_node = 0xffffffff;
  struct Node {
    char byte;
    std::uint32_t token = no_node;  // index into tokens_
    std::uint32_t first_child = no_node;
    std::uint32_t next_sibling = no_node;
  };
  struct Match {
    std::size_t size;
    std::uint32_t token;
  };
  std::uint32_t child_of(std::uint32_t node, char byte) const;
  std::optional<Match> longest_at(std::string_view text, std::size_t position) const;

  std::array<std::uint32_t, 256> first_nodes_;
  std::vector<Node> nodes_;
  std::vector<AddedToken> tokens_;
};

}  // namespace lcomp
