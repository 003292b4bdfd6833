#include "lcomp/io/config_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

std::string config_error(const std::string& text, const std::function<void(ConfigReader&)>& read) {
  try {
    const nlohmann::json object = parse_json(text, "first_table.json");
    ConfigReader reader(object, "first_table.json");
    read(reader);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::user);
    return error.what();
  }
}

TEST(ConfigReader, ReadsEveryKind) {
  const auto object =
      parse_json(R"({"i": -3, "u": 9223372036854775807, "r": 0.5, "n": 4, "b": true, "s": "text", "c": "two",
                                     "o": {"x": 1}, "a": [1, "x"], "any": null, "texts": ["p", "q"], "whole": [1, 2], "parts": [1, 2.5]})",
                 "x");
  ConfigReader reader(object, "x");
  EXPECT_EQ(reader.integer("i", -3, 3), -3);
  EXPECT_EQ(reader.integer("u", kLeast, kMost), kMost);
  EXPECT_EQ(reader.real("r", 0, 1), 0.5);
  EXPECT_EQ(reader.real("n", 4, 4), 4.0);
  EXPECT_TRUE(reader.boolean("b"));
  EXPECT_EQ(reader.string("s"), "text");
  EXPECT_EQ(reader.one_of("c", {"one", "two"}), "two");
  EXPECT_EQ(reader.object("o").at("x"), 1);
  EXPECT_EQ(reader.array("a").size(), 2u);
  EXPECT_TRUE(reader.any("any").is_null());
  EXPECT_THAT(reader.strings("texts"), ElementsAre("p", "q"));
  EXPECT_THAT(reader.integers("whole", 1, 2), ElementsAre(1, 2));
  EXPECT_THAT(reader.reals("parts", 1, 3), ElementsAre(1.0, 2.5));
  reader.finish();
}

TEST(ConfigReader, DefaultsStandForAbsentAndNull) {
  const auto object = parse_json(R"({"i": null, "s": "x"})", "x");
  ConfigReader reader(object, "x");
  EXPECT_EQ(reader.integer_or("i", 7, 0, 1), 7);
  EXPECT_EQ(reader.integer_or("absent", 8, 0, 1), 8);
  EXPECT_EQ(reader.real_or("r", 0.25, 0, 1), 0.25);
  EXPECT_TRUE(reader.boolean_or("b", true));
  EXPECT_EQ(reader.string_or("s", "y"), "x");
  EXPECT_EQ(reader.one_of_or("c", "one", {"two"}), "one");
  reader.finish();
}

TEST(ConfigReader, NothingIsConverted) {
  const std::vector<std::string> values = {
      "1", "-1", "1.0", "4.7", "1e2", "true", "\"1\"", "null", "[1]", "{}", "18446744073709551615"};
  for (const std::string& value : values) {
    SCOPED_TRACE(value);
    const std::string text = "{\"k\": " + value + "}";
    const bool is_integer = value == "1" || value == "-1";
    const bool is_number =
        is_integer || value == "1.0" || value == "4.7" || value == "1e2" || value == "18446744073709551615";
    EXPECT_EQ(config_error(text, [](ConfigReader& r) { r.integer("k", kLeast, kMost); }).empty(), is_integer);
    EXPECT_EQ(config_error(text, [](ConfigReader& r) { r.real("k", -1e300, 1e300); }).empty(), is_number);
    EXPECT_EQ(config_error(text, [](ConfigReader& r) { r.boolean("k"); }).empty(), value == "true");
    EXPECT_EQ(config_error(text, [](ConfigReader& r) { r.string("k"); }).empty(), value == "\"1\"");
    EXPECT_EQ(config_error(text, [](ConfigReader& r) { r.array("k"); }).empty(), value == "[1]");
    EXPECT_EQ(config_error(text, [](ConfigReader& r) { r.object("k"); }).empty(), value == "{}");
  }
}

TEST(ConfigReader, ErrorsNamePathFoundAndExpected) {
  const std::string text =
      R"({"methods": [{"group_size": 64}, {"group_size": 128}, {"group_size": 4.7}], "share": [0.5, 2], "name": 3})";
  EXPECT_EQ(config_error(text,
                         [](ConfigReader& r) {
                           r.each_object("methods", [](ConfigReader& m) { m.integer("group_size", 1, 1048576); });
                         }),
            "first_table.json: methods[2].group_size: found 4.7; expected an integer in 1 .. 1048576");
  EXPECT_EQ(config_error(text, [](ConfigReader& r) { r.reals("share", 0, 1); }),
            "first_table.json: share[1]: found 2; expected a number in 0 .. 1");
  EXPECT_EQ(config_error(text, [](ConfigReader& r) { r.integer("name", 4, kMost); }),
            "first_table.json: name: found 3; expected an integer >= 4");
  EXPECT_EQ(config_error(text, [](ConfigReader& r) { r.integer("name", kLeast, 2); }),
            "first_table.json: name: found 3; expected an integer <= 2");
  EXPECT_EQ(config_error(text, [](ConfigReader& r) { r.string("name"); }),
            "first_table.json: name: found 3; expected a string");
  EXPECT_EQ(config_error(text, [](ConfigReader& r) { r.strings("share"); }),
            "first_table.json: share[0]: found 0.5; expected a string");
  EXPECT_EQ(config_error("[1]", [](ConfigReader&) {}), "first_table.json: found [1]; expected an object");
}

TEST(ConfigReader, NestedReadersHaveTheWholePath) {
  const auto object = parse_json(R"({"rope": {"scaling": {"factor": "x"}}})", "config.json");
  ConfigReader root(object, "config.json");
  ConfigReader rope(root.object("rope"), root.where("rope"));
  ConfigReader scaling(rope.object("scaling"), rope.where("scaling"));
  EXPECT_EQ(scaling.where("factor"), "config.json: rope.scaling.factor");
}

TEST(ConfigReader, RequiredKeysThatAreMissing) {
  EXPECT_EQ(config_error("{}", [](ConfigReader& r) { r.integer("bits", 2, 8); }),
            "first_table.json: bits: missing; expected an integer in 2 .. 8");
  EXPECT_EQ(config_error(R"({"bist": 4})", [](ConfigReader& r) { r.integer("bits", 2, 8); }),
            "first_table.json: bits: missing; expected an integer in 2 .. 8; was \"bist\" meant to be it?");
}

TEST(ConfigReader, UnknownKeysAreReportedWithTheNearestKnownOne) {
  const auto read = [](ConfigReader& r) {
    r.integer_or("group_size", 128, 1, 1024);
    r.integer_or("bits", 4, 1, 8);
    r.finish();
  };
  EXPECT_EQ(config_error(R"({"grup_size": 64, "bits": 4})", read),
            "first_table.json: unknown key \"grup_size\"; expected one of \"bits\", \"group_size\"; did you mean "
            "\"group_size\"?");
  const std::string two = config_error(R"({"grup_size": 64, "bitz": 4, "colour": 1})", read);
  EXPECT_THAT(two, HasSubstr("unknown keys \"bitz\", \"colour\", \"grup_size\""));
  EXPECT_THAT(two, EndsWith("did you mean \"bits\" by \"bitz\"? did you mean \"group_size\" by \"grup_size\"?"));
  EXPECT_THAT(config_error(R"({"colour": 1})", read), Not(HasSubstr("did you mean")));
  EXPECT_EQ(config_error(R"({"colour": 1})", [](ConfigReader& r) { r.finish(); }),
            "first_table.json: unknown key \"colour\"; expected no keys");
  EXPECT_EQ(config_error(R"({"m": [{"x": 1}]})", [](ConfigReader& r) { r.each_object("m", [](ConfigReader&) {}); }),
            "first_table.json: m[0]: unknown key \"x\"; expected no keys");
}

TEST(ConfigReader, IgnoredAndProbedKeysAreKnown) {
  const auto object = parse_json(R"({"a": 1, "b": null, "c": 2})", "x");
  ConfigReader reader(object, "x");
  reader.ignore("a");
  EXPECT_FALSE(reader.has("b"));
  EXPECT_THAT(reader.unread_keys(), ElementsAre("c"));
  EXPECT_TRUE(reader.has("c"));
  reader.finish();
}

TEST(ConfigReader, WrongChoicesAreAnsweredWithTheRightOnes) {
  EXPECT_EQ(config_error(R"({"k": "symetric"})",
                         [](ConfigReader& r) {
                           r.one_of("k", {"symmetric", "asymmetric"});
                         }),
            "first_table.json: k: found \"symetric\"; expected one of \"symmetric\", \"asymmetric\"; did you mean "
            "\"symmetric\"?");
  EXPECT_EQ(config_error(R"({"k": 3})", [](ConfigReader& r) { r.one_of("k", {"x"}); }),
            "first_table.json: k: found 3; expected \"x\"");
}

TEST(ConfigReader, LongValuesAreCut) {
  const std::string text = "{\"k\": \"" + std::string(5000, 'x') + "\", \"a\": [1,2,3,4,5,6,7,8,9]}";
  EXPECT_LT(config_error(text, [](ConfigReader& r) { r.integer("k", 0, 1); }).size(), 200u);
  EXPECT_THAT(config_error(text, [](ConfigReader& r) { r.integer("a", 0, 1); }), HasSubstr("an array of 9 values"));
}

}  // namespace
}  // namespace lcomp
