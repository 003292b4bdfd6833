#include "tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <vector>

#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

using Strings = std::vector<std::string>;

Strings pieces(const std::vector<PreTokenizerStep>& steps, std::string_view text, bool at_beginning = true) {
  MatchScratch scratch;
  PreTokenizedText work;
  work.start(text, at_beginning);
  for (const PreTokenizerStep& step : steps) work.apply(step, scratch);
  Strings found;
  for (const TextRange& range : work.pieces()) found.emplace_back(work.piece(range));
  return found;
}

Strings split_at_dash(SplitBehavior behavior, bool invert, std::string_view text) {
  return pieces({SplitStep{TextPattern::literal("-"), behavior, invert}}, text);
}

// Expected values from Hugging Face tokenizers' documentation of SplitDelimiterBehavior and, for the inverted ones,
// from the library.
TEST(Split, Behaviors) {
  const char* text = "the-final--countdown";
  EXPECT_EQ(split_at_dash(SplitBehavior::removed, false, text), (Strings{"the", "final", "countdown"}));
  EXPECT_EQ(split_at_dash(SplitBehavior::isolated, false, text), (Strings{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(split_at_dash(SplitBehavior::merged_with_previous, false, text),
            (Strings{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(split_at_dash(SplitBehavior::merged_with_next, false, text), (Strings{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(split_at_dash(SplitBehavior::contiguous, false, text), (Strings{"the", "-", "final", "--", "countdown"}));
}

TEST(Split, Inverted) {
  const char* text = "-a--b";
  EXPECT_EQ(split_at_dash(SplitBehavior::removed, true, text), (Strings{"-", "-", "-"}));
  EXPECT_EQ(split_at_dash(SplitBehavior::isolated, true, text), (Strings{"-", "a", "-", "-", "b"}));
  EXPECT_EQ(split_at_dash(SplitBehavior::merged_with_previous, true, text), (Strings{"-a", "-", "-b"}));
  EXPECT_EQ(split_at_dash(SplitBehavior::merged_with_next, true, text), (Strings{"-", "a-", "-", "b"}));
  EXPECT_EQ(split_at_dash(SplitBehavior::contiguous, true, text), (Strings{"-", "a", "--", "b"}));
}

RC_GTEST_PROP(Split, NothingIsLostUnlessRemoved, ()) {
  const auto text = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab- \n")));
  const auto behavior = *rc::gen::element(SplitBehavior::isolated, SplitBehavior::merged_with_previous,
                                          SplitBehavior::merged_with_next, SplitBehavior::contiguous);
  const auto invert = *rc::gen::arbitrary<bool>();
  std::string joined;
  for (const std::string& piece : split_at_dash(behavior, invert, text)) {
    RC_ASSERT(!piece.empty());
    joined += piece;
  }
  RC_ASSERT(joined == text);
}

TEST(ByteLevel, SplitsAsGpt2AndWritesBytesAsCharacters) {
  const ByteLevelStep step{false, gpt2_pattern()};
  EXPECT_EQ(pieces({step}, "Hello   my friend, it's 42!\n"),
            (Strings{"Hello", "ĠĠ", "Ġmy", "Ġfriend", ",", "Ġit", "'s", "Ġ42", "!", "Ċ"}));
  EXPECT_EQ(pieces({step}, "i⭢j"), (Strings{"i", "âŃ¢", "j"}));
}

TEST(ByteLevel, PrefixSpace) {
  EXPECT_EQ(pieces({ByteLevelStep{true, std::nullopt}}, "a b"), Strings{"ĠaĠb"});
  EXPECT_EQ(pieces({ByteLevelStep{true, std::nullopt}}, " a"), Strings{"Ġa"});
  EXPECT_EQ(pieces({ByteLevelStep{true, std::nullopt}}, ""), Strings{});
  // Each piece that an earlier step made gets one.
  EXPECT_EQ(pieces({digits_step(true), ByteLevelStep{true, std::nullopt}}, "a1"), (Strings{"Ġa", "Ġ1"}));
}

TEST(Digits, IndividualOrTogether) {
  EXPECT_EQ(pieces({digits_step(true)}, "ab12 ³c"), (Strings{"ab", "1", "2", " ", "³", "c"}));
  EXPECT_EQ(pieces({digits_step(false)}, "ab12³ c"), (Strings{"ab", "12³", " c"}));
}

TEST(Metaspace, PrependsAndSplits) {
  const auto step = [](PrependScheme scheme, bool split) { return MetaspaceStep{"▁", scheme, split}; };
  EXPECT_EQ(pieces({step(PrependScheme::always, true)}, "Hey  my"), (Strings{"▁Hey", "▁", "▁my"}));
  EXPECT_EQ(pieces({step(PrependScheme::always, false)}, "Hey my"), Strings{"▁Hey▁my"});
  EXPECT_EQ(pieces({step(PrependScheme::always, true)}, " Hey"), Strings{"▁Hey"});
  EXPECT_EQ(pieces({step(PrependScheme::never, true)}, "Hey my"), (Strings{"Hey", "▁my"}));
  EXPECT_EQ(pieces({step(PrependScheme::first, true)}, "Hey"), Strings{"▁Hey"});
  EXPECT_EQ(pieces({step(PrependScheme::first, true)}, "Hey", false), Strings{"Hey"});
  EXPECT_EQ(pieces({whitespace_split_step(), step(PrependScheme::first, true)}, "a b"), (Strings{"▁a", "b"}));
  EXPECT_EQ(pieces({whitespace_split_step(), step(PrependScheme::first, true)}, " a b"), (Strings{"a", "b"}));
}

TEST(Whitespace, WordsAndTheRest) {
  EXPECT_EQ(pieces({whitespace_step()}, "Hey man! How-are\tyou_2 ½"),
            (Strings{"Hey", "man", "!", "How", "-", "are", "you_2", "½"}));
  EXPECT_EQ(pieces({whitespace_split_step()}, "Hey man!\u3000How  "), (Strings{"Hey", "man!", "How"}));
}

TEST(Punctuation, IsAsciiPunctuationAndUnicodes) {
  EXPECT_EQ(pieces({punctuation_step(SplitBehavior::isolated)}, "a$b。c€"), (Strings{"a", "$", "b", "。", "c€"}));
}

TEST(PreTokenizer, StepsAfterByteLevelSeeItsCharacters) {
  EXPECT_EQ(
      pieces({ByteLevelStep{false, std::nullopt}, SplitStep{TextPattern::literal("Ġ"), SplitBehavior::removed, false}},
             "a b c"),
      (Strings{"a", "b", "c"}));
}

}  // namespace
}  // namespace lcomp
