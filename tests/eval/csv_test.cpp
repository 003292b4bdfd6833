#include "csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string message(const std::string& text) {
  try {
    parse_csv(text, "file.csv");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Csv, QuotedFieldsHoldCommasQuotesAndLines) {
  const auto records = parse_csv("a,\"b, \"\"c\"\"\",d\r\n\"two\nlines\",,\n\nlast \"quote\",x", "file.csv");
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].line, 1u);
  EXPECT_THAT(records[0].fields, ElementsAre("a", "b, \"c\"", "d"));
  EXPECT_EQ(records[1].line, 2u);
  EXPECT_THAT(records[1].fields, ElementsAre("two\nlines", "", ""));
  EXPECT_EQ(records[2].line, 5u);
  EXPECT_THAT(records[2].fields, ElementsAre("last \"quote\"", "x"));
}

TEST(Csv, EmptyTextAndByteOrderMark) {
  EXPECT_TRUE(parse_csv("", "file.csv").empty());
  EXPECT_TRUE(parse_csv("\n\r\n", "file.csv").empty());
  EXPECT_THAT(parse_csv("\xEF\xBB\xBF\"a\"\n", "file.csv").at(0).fields, ElementsAre("a"));
  EXPECT_THAT(parse_csv("a,", "file.csv").at(0).fields, ElementsAre("a", ""));
}

TEST(Csv, ErrorsNameTheLine) {
  EXPECT_THAT(message("a\nb,\"open\n\n"), HasSubstr("file.csv: line 2: a quoted field that does not end"));
  EXPECT_THAT(message("\"a\"b\n"), HasSubstr("line 1: text after a closing quote"));
  EXPECT_THAT(message(std::string("a\nb\0c\n", 6)), HasSubstr("line 2: a zero byte"));
}

}  // namespace
}  // namespace lcomp
