#include "tokenizer/unicode.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace lcomp {
namespace {

TEST(Utf8, WritesAndReadsEveryCharacter) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text;
    append_character(text, c);
    ASSERT_TRUE(is_valid_utf8(text));
    ASSERT_EQ(character_at(text, 0).code_point, c);
    ASSERT_EQ(character_at(text, 0).size, text.size());
    ASSERT_EQ(character_before(text, text.size()).code_point, c);
  }
}

// Unicode 15, section 3.9, table 3-8 and the examples around it.
TEST(Utf8, ReplacesMaximalIllFormedParts) {
  EXPECT_EQ(replace_invalid_utf8("a\xf1\x80\x80\xe1\x80\xc2"
                                 "b\x80"
                                 "c\x80\xbf"
                                 "d"),
            "a\ufffd\ufffd\ufffdb\ufffdc\ufffd\ufffdd");
  EXPECT_EQ(replace_invalid_utf8("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"),
            "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdA");
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80"), "\ufffd\ufffd\ufffd");  // a surrogate
  EXPECT_EQ(replace_invalid_utf8("\xf4\x91\x92\x93"), "\ufffd\ufffd\ufffd\ufffd");
  EXPECT_EQ(replace_invalid_utf8("ok €"), "ok €");
}

RC_GTEST_PROP(Utf8, AnyBytesBecomeValid, (const std::string& bytes)) {
  const std::string repaired = replace_invalid_utf8(bytes);
  RC_ASSERT(is_valid_utf8(repaired));
  RC_ASSERT(is_valid_utf8(bytes) == (repaired == bytes));
}

TEST(Excerpt, CutsAtACharacter) {
  EXPECT_EQ(excerpt("short\xff"), "short\ufffd");
  EXPECT_EQ(excerpt(std::string(79, 'a') + "é" + std::string(100, 'b')), std::string(79, 'a') + "...");
  EXPECT_EQ(excerpt(std::string(200, '\x80')).substr(0, 3), "\ufffd");
}

TEST(CharacterClasses, Samples) {
  for (const char32_t c : {U' ', U'\t', U'\u0085', U'\u3000'}) EXPECT_TRUE(is_white_space(c));
  for (const char32_t c : {U'a', U'\u180e', U'\u200b', U'\x1c'}) EXPECT_FALSE(is_white_space(c));
  for (const char32_t c : {U'7', U'²', U'½', U'Ⅷ', U'٣'}) EXPECT_TRUE(is_numeric(c));
  for (const char32_t c : {U'+', U'$', U'_', U'。', U'«'}) EXPECT_TRUE(is_punctuation(c));
  for (const char32_t c : {U'€', U'×', U'a'}) EXPECT_FALSE(is_punctuation(c));
  for (const char32_t c : {U'\u0301', U'\u093f'}) EXPECT_TRUE(is_mark(c));
  for (const char32_t c : {U'z', U'_', U'é', U'\u0301', U'漢', U'ⓐ', U'\u200d', U'Ⅷ', U'٣'})
    EXPECT_TRUE(is_word_character(c));
  for (const char32_t c : {U'-', U'½', U'²', U' ', U'€'}) EXPECT_FALSE(is_word_character(c));
}

TEST(NormalizeUnicode, Forms) {
  const std::string text = "e\u0301 \u00e9 \u212b \ufb01 \uac00 ²";
  EXPECT_EQ(normalize_unicode(text, NormalizationForm::nfc), "\u00e9 \u00e9 \u00c5 \ufb01 \uac00 ²");
  EXPECT_EQ(normalize_unicode(text, NormalizationForm::nfd), "e\u0301 e\u0301 A\u030a \ufb01 \u1100\u1161 ²");
  EXPECT_EQ(normalize_unicode(text, NormalizationForm::nfkc), "\u00e9 \u00e9 \u00c5 fi \uac00 2");
  EXPECT_EQ(normalize_unicode(text, NormalizationForm::nfkd), "e\u0301 e\u0301 A\u030a fi \u1100\u1161 2");
}

TEST(NormalizeUnicode, OrdersMarksByCombiningClass) {
  // U+0316 (class 220) goes before U+0300 (230), which composes with the a.
  EXPECT_EQ(normalize_unicode("a\u0300\u0316", NormalizationForm::nfc), "\u00e0\u0316");
  EXPECT_EQ(normalize_unicode("a\u0300\u0316", NormalizationForm::nfd), "a\u0316\u0300");
}

TEST(NormalizeUnicode, LongRunsOfMarksTakeLinearTime) {
  std::string text = "a", marks, others;
  for (int i = 0; i < 200'000; ++i) {
    text += "\u0300\u0316";
    marks += "\u0300";
    others += "\u0316";
  }
  EXPECT_EQ(normalize_unicode(text, NormalizationForm::nfd), "a" + others + marks);
}

TEST(ToLowerCase, CharacterByCharacter) {
  EXPECT_EQ(to_lower_case("ABC ΣΑΣ ÀÖ ǅ ß"), "abc σασ àö ǆ ß");
  EXPECT_EQ(to_lower_case("\u0130"), "i\u0307");
}

}  // namespace
}  // namespace lcomp
