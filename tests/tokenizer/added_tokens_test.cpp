#include "tokenizer/added_tokens.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace lcomp {
namespace {

using Strings = std::vector<std::string>;

AddedToken token(TokenId id, const std::string& content) {
  AddedToken token;
  token.id = id;
  token.content = content;
  return token;
}

// Text as it is, tokens as "#id[what they cover]".
Strings split(const std::vector<AddedToken>& tokens, const std::string& text) {
  AddedTokenMatcher matcher;
  for (const AddedToken& t : tokens) matcher.add(t.content, t);
  std::vector<TextSegment> segments;
  matcher.split(text, segments);
  Strings found;
  for (const TextSegment& segment : segments) {
    const std::string part = text.substr(segment.range.begin, segment.range.end - segment.range.begin);
    found.push_back(segment.id ? "#" + std::to_string(*segment.id) + "[" + part + "]" : part);
  }
  return found;
}

TEST(AddedTokens, LeftmostThenLongest) {
  const std::vector<AddedToken> tokens = {token(1, "<a>"), token(2, "<a>b"), token(3, "a>bcd")};
  EXPECT_EQ(split(tokens, "x<a>bcd<a>"), (Strings{"x", "#2[<a>b]", "cd", "#1[<a>]"}));
  EXPECT_EQ(split(tokens, "a>bcd"), Strings{"#3[a>bcd]"});
  EXPECT_EQ(split(tokens, "a>bc"), Strings{"a>bc"});
  EXPECT_EQ(split(tokens, ""), Strings{});
  EXPECT_EQ(split({}, "abc"), Strings{"abc"});
}

TEST(AddedTokens, SingleWordNeedsNoWordCharacterBeside) {
  AddedToken single = token(1, "ab");
  single.single_word = true;
  EXPECT_EQ(split({single}, "ab ab, xab abx éab ab-"),
            (Strings{"#1[ab]", " ", "#1[ab]", ", xab abx éab ", "#1[ab]", "-"}));
}

TEST(AddedTokens, RefusedSingleWordHidesWhatItOverlaps) {
  AddedToken single = token(1, "abc");
  single.single_word = true;
  EXPECT_EQ(split({single, token(2, "bc"), token(3, "d")}, "abcd"), (Strings{"abc", "#3[d]"}));
}

TEST(AddedTokens, StripTakesWhiteSpaceAlong) {
  AddedToken left = token(1, "<l>"), right = token(2, "<r>");
  left.lstrip = true;
  right.rstrip = true;
  EXPECT_EQ(split({left, right}, "a \n<l> b <r>\u3000 c"), (Strings{"a", "#1[ \n<l>]", " b ", "#2[<r>\u3000 ]", "c"}));
  // The white space between belongs to the token before it.
  EXPECT_EQ(split({left, right}, "<r>  <l>"), (Strings{"#2[<r>  ]", "#1[<l>]"}));
}

TEST(AddedTokens, WhiteSpaceTokenThatWasTakenAlongIsGone) {
  AddedToken right = token(1, "<r>"), newline = token(2, "\n");
  right.rstrip = true;
  newline.lstrip = true;
  EXPECT_EQ(split({right, newline}, "<r> \na\n"), (Strings{"#1[<r> \n]", "a", "#2[\n]"}));
}

TEST(AddedTokens, OfEqualPatternsTheLastCounts) {
  EXPECT_EQ(split({token(1, "x"), token(2, "x")}, "x"), Strings{"#2[x]"});
  EXPECT_EQ(split({token(1, "")}, "x"), Strings{"x"});
}

}  // namespace
}  // namespace lcomp
