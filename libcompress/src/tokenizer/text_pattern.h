#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace lcomp {

// The bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  friend bool operator==(const TextRange&, const TextRange&) = default;
};

// What matching a regular expression writes to. One thread at a time.
class MatchScratch {
 public:
  MatchScratch();
  ~MatchScratch();
  MatchScratch(MatchScratch&&) noexcept;
  MatchScratch& operator=(MatchScratch&&) noexcept;

 private:
  friend class TextPattern;
  struct State;
  std::unique_ptr<State> state_;
};

// What a tokenizer searches a text for: a string, a regular expression or a class of characters. Immutable; shared by
// threads.
class TextPattern {
 public:
  static TextPattern literal(std::string text);  // not empty
  static TextPattern characters(bool (*is_member)(char32_t));
  // A regular expression in Oniguruma's syntax, as tokenizer.json files hold it. Throws Error naming `where` for one
  // that is wrong, or that would mean something else in PCRE2 and is not translated (see oniguruma_to_pcre2).
  static TextPattern regular_expression(std::string_view expression, const std::string& where);

  // Replaces `matches` by the non-overlapping matches in `text` (valid UTF-8), from left to right. A match may be empty
  // where a regular expression allows it, but not where the match before it ended, nor in an empty text. Throws Error
  // when the expression backtracks beyond PCRE2's limit. O(text) for what tokenizers use.
  void find_all(std::string_view text, MatchScratch& scratch, std::vector<TextRange>& matches) const;

 private:
  struct Literal {
    std::string text;
  };
  struct Characters {
    bool (*is_member)(char32_t);
  };
  struct Regex;
  using Kind = std::variant<Literal, Characters, std::shared_ptr<const Regex>>;
  explicit TextPattern(Kind kind) : kind_(std::move(kind)) {}

  Kind kind_;
};

// Rewrites a regular expression from Oniguruma's Ruby syntax (what Hugging Face tokenizers compiles) to PCRE2 (UTF,
// UCP), so that it matches the same: \s, \w, \d, \b and \h mean other sets there, ^ and $ match at every line, scripts
// do not include script extensions, groups capture nothing. Throws Error naming `where` for back references, nested or
// intersected character classes, POSIX brackets, named groups and the other constructs that it does not know. The two
// engines know different versions of Unicode: characters that are younger than Unicode 14 may be classed differently.
std::string oniguruma_to_pcre2(std::string_view expression, const std::string& where);

}  // namespace lcomp
