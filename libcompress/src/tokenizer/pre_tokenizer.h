#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tokenizer/text_pattern.h"

namespace lcomp {

// What becomes of the matches at which a text is split, named as in tokenizer.json:
// split at "-", "a--b" gives a, b | a, -, -, b | a-, -, b | a, -, -b | a, --, b.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct SplitStep {
  TextPattern pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  // what lies between the matches counts as match and the matches as the rest
};
// Writes each byte as its character of GPT-2's alphabet (see byte_alphabet.h).
struct ByteLevelStep {
  bool add_prefix_space = true;        // before each piece that does not begin with a space
  std::optional<TextPattern> pattern;  // splits first, the matches being pieces of their own
};
enum class PrependScheme { always, first, never };
// Replaces spaces by a symbol (U+2581), puts one before the pieces (all, that at the beginning of the text, none) that
// do not begin with one, and splits before each.
struct MetaspaceStep {
  std::string replacement;
  PrependScheme prepend = PrependScheme::always;
  bool split = true;
};
using PreTokenizerStep = std::variant<SplitStep, ByteLevelStep, MetaspaceStep>;

// The pattern by which GPT-2 splits text into words.
TextPattern gpt2_pattern();
// The steps that tokenizer.json calls Digits, Punctuation, Whitespace and WhitespaceSplit.
SplitStep digits_step(bool individual_digits);
SplitStep punctuation_step(SplitBehavior behavior);
SplitStep whitespace_step();
SplitStep whitespace_split_step();

// A text on its way through the steps: the pieces are ranges of text(), none of them empty. Its memory is used again by
// the next text.
class PreTokenizedText {
 public:
  // `text` must outlive the use of this object. `at_beginning`: nothing of the whole text stands before it.
  void start(std::string_view text, bool at_beginning);
  void apply(const PreTokenizerStep& step, MatchScratch& scratch);

  std::string_view text() const { return text_; }
  const std::vector<TextRange>& pieces() const { return pieces_; }
  std::string_view piece(const TextRange& range) const { return text_.substr(range.begin, range.end - range.begin); }

 private:
  void apply_step(const SplitStep& step, MatchScratch& scratch);
  void apply_step(const ByteLevelStep& step, MatchScratch& scratch);
  void apply_step(const MetaspaceStep& step, MatchScratch& scratch);
  void split(const TextPattern& pattern, SplitBehavior behavior, bool invert, MatchScratch& scratch);
  template <typename Rewrite>
  void rewrite(Rewrite append_piece);

  std::string_view text_;
  std::vector<TextRange> pieces_;
  bool first_is_at_beginning_ = false;  // the first piece is the beginning of the whole text
  std::string buffers_[2];              // text_ is a view of one of them, or of what start() was given
  std::size_t free_buffer_ = 0;
  std::vector<TextRange> new_pieces_, matches_;
};

// Appends to `pieces` those that splitting a text of `size` bytes at `matches` gives, moved by `offset`.
void split_at_matches(const std::vector<TextRange>& matches, std::size_t size, SplitBehavior behavior, bool invert,
                      std::size_t offset, std::vector<TextRange>& pieces);

}  // namespace lcomp
