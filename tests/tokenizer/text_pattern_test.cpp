#include "tokenizer/text_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "support/error_message.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

using Strings = std::vector<std::string>;

Strings matches(const TextPattern& pattern, std::string_view text) {
  MatchScratch scratch;
  std::vector<TextRange> ranges;
  pattern.find_all(text, scratch, ranges);
  Strings found;
  for (const TextRange& range : ranges) found.emplace_back(text.substr(range.begin, range.end - range.begin));
  return found;
}

Strings regex_matches(std::string_view expression, std::string_view text) {
  return matches(TextPattern::regular_expression(expression, "test"), text);
}

TEST(TextPattern, FindsLiteralsWithoutOverlap) {
  EXPECT_EQ(matches(TextPattern::literal("aa"), "aaaaa b aa"), (Strings{"aa", "aa", "aa"}));
  EXPECT_EQ(matches(TextPattern::literal("x"), "aaa"), Strings{});
}

TEST(TextPattern, FindsCharactersOfAClass) {
  EXPECT_EQ(matches(TextPattern::characters(is_numeric), "a1²Ⅷx٣"), (Strings{"1", "²", "Ⅷ", "٣"}));
}

TEST(TextPattern, FindsEmptyMatchesButNotTwiceAtOnePlace) {
  // At 0 "aa"; at 2 the empty match would touch it; at 3 (after b) another.
  MatchScratch scratch;
  std::vector<TextRange> ranges;
  TextPattern::regular_expression("a*", "test").find_all("aabc", scratch, ranges);
  EXPECT_EQ(ranges, (std::vector<TextRange>{{0, 2}, {3, 3}, {4, 4}}));
  TextPattern::regular_expression("a*", "test").find_all("", scratch, ranges);
  EXPECT_TRUE(ranges.empty());
}

TEST(TextPattern, AnchorsSeeOnlyTheGivenText) {
  EXPECT_EQ(regex_matches("^.|.$", "ab\ncd"), (Strings{"a", "b", "c", "d"}));  // Ruby's ^ and $ match at every line
  EXPECT_EQ(regex_matches("\\A.|.\\z", "ab\ncd"), (Strings{"a", "d"}));
}

// What differs between Oniguruma and PCRE2; expected values were taken from Hugging Face tokenizers 0.23 (Oniguruma).
TEST(OnigurumaToPcre2, ClassesHoldWhatTheyHoldInOniguruma) {
  EXPECT_EQ(regex_matches("\\s", "a\u180e\u3000\u0085"), (Strings{"\u3000", "\u0085"}));  // PCRE2's \s has U+180E
  EXPECT_EQ(regex_matches("\\w+", "a\u0301b_\u203f-ⓐ½"), (Strings{"a\u0301b_\u203f", "ⓐ½"}));
  EXPECT_EQ(regex_matches("[\\w]+", "a½b"), (Strings{"a", "b"}));  // ½ is no word character within a class
  EXPECT_EQ(regex_matches("\\d+", "1٣²"), Strings{"1٣"});
  EXPECT_EQ(regex_matches("\\h+", "0aFg "), Strings{"0aF"});
  EXPECT_EQ(regex_matches("\\bfoo", "foo _foo -foo"), (Strings{"foo", "foo"}));
  EXPECT_EQ(regex_matches("\\Bo", "foo o"), (Strings{"o", "o"}));
  EXPECT_EQ(regex_matches("\\p{Han}+", "漢字、ー"), Strings{"漢字"});  // PCRE2's plain \p{Han} has U+3001
  EXPECT_EQ(regex_matches("[^\\S ]+", "a \t\n b"), Strings{"\t\n"});
  EXPECT_EQ(regex_matches("\\p{^L}|\\P{N}", "1a"), (Strings{"1", "a"}));
}

TEST(OnigurumaToPcre2, QuantifiersAndGroups) {
  EXPECT_EQ(regex_matches("\\p{N}{1,3}", "12345"), (Strings{"123", "45"}));
  EXPECT_EQ(regex_matches("x{,2}y", "xxxy"), Strings{"xxy"});
  EXPECT_EQ(regex_matches("x{a}", "x{a}"), Strings{"x{a}"});
  EXPECT_EQ(regex_matches("(a)(?=b)|(?<!a)b", "abb"), (Strings{"a", "b"}));
  EXPECT_EQ(regex_matches("\\p{L}++", "ab"), Strings{"ab"});
  // An isolated option reaches to the end of its group, alternatives included: a(?i:b|c).
  EXPECT_EQ(regex_matches("a(?i)b|c", "aB aC c"), (Strings{"aB", "aC"}));
  EXPECT_EQ(regex_matches("(?i:'s|'t)|[a-z]", "'S'ſ'TA"), (Strings{"'S", "'ſ", "'T"}));
}

TEST(OnigurumaToPcre2, RefusesWhatItDoesNotKnow) {
  for (const char* expression :
       {"(a",      "a)",          "[a",     "[]a]",          "[a[b]]",   "[a&&b]", "[[:alpha:]]", "(a)\\1",
        "(?<n>a)", "\\k<n>",      "\\G",    "\\K",           "\\R",      "a\\",    "\\p{Lu",      "\\p{}",
        "\\p{L1}", "(?i)\\p{Lu}", "(?i)ss", "(?x)a",         "a{1,2}+",  "a{2}?",  "\\x80",       "\\xg0",
        "\\x{}",   "\\x{110000}", "\\u12",  "\\p{Nonsense}", "(?<=a+)b", "**"}) {
    EXPECT_THROW(TextPattern::regular_expression(expression, "test"), Error) << expression;
  }
  EXPECT_THROW(oniguruma_to_pcre2("\xff", "test"), Error);
}

TEST(OnigurumaToPcre2, ErrorsSayWhere) {
  EXPECT_THAT(testing::message([&] {
                TextPattern::regular_expression("[[:alpha:]]", "tokenizer.json: pre_tokenizer.pattern.Regex");
              }),
              ::testing::AllOf(::testing::StartsWith("tokenizer.json: pre_tokenizer.pattern.Regex: "),
                               ::testing::HasSubstr("[[:alpha:]]")));
}

TEST(TextPattern, LongRepetitionsFit) {
  const std::string text(1 << 20, 'a');
  EXPECT_EQ(regex_matches("\\p{L}+|\\s+(?!\\S)|\\s+", text).size(), 1u);
  const std::string spaces = std::string(1 << 20, ' ') + "x";
  EXPECT_EQ(regex_matches("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", spaces).size(), 2u);
}

TEST(TextPattern, BacktrackingWithoutEndIsAnError) {
  EXPECT_THROW(regex_matches("(?:a|aa)+$", std::string(100, 'a') + "b"), Error);
}

}  // namespace
}  // namespace lcomp
