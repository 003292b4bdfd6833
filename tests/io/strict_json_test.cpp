#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TemporaryFolder;

std::string json_error(const std::string& text) {
  try {
    parse_json(text, "x.json");
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(StrictJson, BuildsTheTreeThatTheLibraryBuilds) {
  const std::string text =
      R"( {"a": [1, -2, 3.5, 1e3, true, false, null, "x\u00e9\n\ud83d\ude00"], "b": {"c": {}, "d": []},
          "": 18446744073709551615, "least": -9223372036854775808} )";
  EXPECT_EQ(parse_json(text, "x"), nlohmann::json::parse(text));
  EXPECT_EQ(parse_json("7", "x"), 7);
  EXPECT_EQ(parse_json("[[], [[]], {}]", "x"), nlohmann::json::parse("[[], [[]], {}]"));
}

TEST(StrictJson, SaysLineAndColumn) {
  // The place is that of the character at which the text can't go on; columns count characters, not bytes.
  EXPECT_THAT(json_error("{\n  \"a\": 1,\n  \"b\": x\n}"), StartsWith("x.json: line 3, column 8: "));
  EXPECT_THAT(json_error("{\"\u00e9\u00e9\": x}"), StartsWith("x.json: line 1, column 8: "));
  EXPECT_THAT(json_error("{\"a\": 1"), StartsWith("x.json: line 1, column 8: "));
  EXPECT_THAT(json_error(""), StartsWith("x.json: line 1, column 1: "));
}

TEST(StrictJson, RefusesWhatIsNoJson) {
  for (const char* text :
       {"[1,]",   "{\"a\":1,}", "[1] // c", "/* c */ 1", "[NaN]", "[Infinity]", "[-inf]", "[01]",
        "[+1]",   "[.5]",       "[1.]",     "['a']",     "{a:1}", "[1] 2",      "[1 2]",  "{\"a\" 1}",
        "\"\t\"", "\"\\x41\"",  "[tru]",    "{\"a\":}",  "[",     "]",          "\"",     "nul"}) {
    EXPECT_THAT(json_error(text), StartsWith("x.json: line 1, column ")) << text;
  }
}

TEST(StrictJson, RefusesNumbersThatNoDoubleHolds) { EXPECT_THAT(json_error("[1e999]"), HasSubstr("1e999")); }

TEST(StrictJson, RefusesTextThatIsNotUtf8) {
  EXPECT_THAT(json_error("\"\xff\""), HasSubstr("UTF-8"));
  EXPECT_THAT(json_error("\"\xc3\""), HasSubstr("UTF-8"));          // cut short
  EXPECT_THAT(json_error("\"\xc0\xaf\""), HasSubstr("UTF-8"));      // overlong
  EXPECT_THAT(json_error("\"\xed\xa0\x80\""), HasSubstr("UTF-8"));  // a surrogate
  EXPECT_THAT(json_error("\"\\ud800\""), HasSubstr("surrogate"));
  EXPECT_THAT(json_error("\xef\xbb\xbf{}"), HasSubstr("byte order mark"));
}

TEST(StrictJson, RefusesDuplicateKeysByPath) {
  EXPECT_EQ(json_error("{\"a\": 1,\n \"a\": 2}"),
            "x.json: line 2, column 4: the key \"a\" for the second time; expected each key once");
  EXPECT_THAT(json_error(R"({"m": [{}, {"n": {"k": 1, "j": {"k": 1}, "k": 2}}]})"), HasSubstr("the key \"m[1].n.k\""));
  EXPECT_EQ(json_error(R"([{"a": 1}, {"a": 2}])"), "");
}

TEST(StrictJson, LimitsNesting) {
  EXPECT_EQ(json_error(std::string(100, '[') + std::string(100, ']')), "");
  EXPECT_EQ(json_error(std::string(101, '[')), "x.json: line 1, column 101: nesting deeper than 100");
  EXPECT_THAT(json_error(std::string(1'000'000, '[')), HasSubstr("nesting deeper"));
  std::string objects;
  for (int i = 0; i < 101; ++i) objects += "{\"a\":";
  EXPECT_THAT(json_error(objects), HasSubstr("nesting deeper"));
}

TEST(StrictJson, KeepsErrorsShort) {
  EXPECT_LT(json_error("\"" + std::string(100'000, 'a')).size(), 400u);
  EXPECT_LT(json_error("{\"" + std::string(100'000, 'a') + "\":1,\"" + std::string(100'000, 'a') + "\":1}").size(),
            400u);
  EXPECT_LT(json_error("[" + std::string(100'000, '9') + "e9]").size(), 400u);
}

TEST(StrictJson, ReadsFiles) {
  const TemporaryFolder folder;
  write_text_file(folder / "a.json", "{\"a\": 1}");
  EXPECT_EQ(parse_json_file(folder / "a.json").at("a"), 1);
  write_text_file(folder / "b.json", "{");
  EXPECT_THAT(testing::message([&] { parse_json_file(folder / "b.json"); }),
              StartsWith((folder / "b.json").string() + ": line 1, column 2"));
}

}  // namespace
}  // namespace lcomp
