#include "tokenizer/text_normalizer.h"

#include <gtest/gtest.h>

#include <string>

namespace lcomp {
namespace {

std::string normalized(const std::vector<NormalizerStep>& steps, std::string_view text) {
  MatchScratch scratch;
  return normalize_text(steps, text, scratch);
}

TEST(TextNormalizer, NoStepsChangeNothing) { EXPECT_EQ(normalized({}, " Ab\u0301 "), " Ab\u0301 "); }

TEST(TextNormalizer, PrependLeavesEmptyTextAlone) {
  EXPECT_EQ(normalized({PrependStep{"▁"}}, "a"), "▁a");
  EXPECT_EQ(normalized({PrependStep{"▁"}}, ""), "");
}

TEST(TextNormalizer, ReplaceTakesItsContentLiterally) {
  EXPECT_EQ(normalized({ReplaceStep{TextPattern::literal(" "), "▁"}}, " a  b"), "▁a▁▁b");
  EXPECT_EQ(normalized({ReplaceStep{TextPattern::regular_expression("(\\d)+", "test"), "$1"}}, "a12b3"), "a$1b$1");
}

TEST(TextNormalizer, StripTakesUnicodeWhiteSpace) {
  EXPECT_EQ(normalized({StripStep{true, true}}, "\u3000\n a b\u0085 "), "a b");
  EXPECT_EQ(normalized({StripStep{false, true}}, " a "), " a");
  EXPECT_EQ(normalized({StripStep{true, false}}, " a "), "a ");
  EXPECT_EQ(normalized({StripStep{true, true}}, " \t "), "");
}

TEST(TextNormalizer, StepsApplyInOrder) {
  const std::vector<NormalizerStep> steps = {NormalizationForm::nfd, StripAccentsStep{}, LowercaseStep{},
                                             ReplaceStep{TextPattern::literal(" "), "▁"}, PrependStep{"▁"}};
  EXPECT_EQ(normalized(steps, "Élan Vital"), "▁elan▁vital");
}

}  // namespace
}  // namespace lcomp
