#include "lcomp/calibration/calibration_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ShortTexts = CalibrationTextOptions::ShortTexts;

// One token a byte; 256 is the begin token.
class ByteTokenizer : public Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, bool add_special) const override {
    std::vector<TokenId> ids;
    if (add_special) ids.push_back(256);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const TokenId> ids, bool) const override { return {ids.begin(), ids.end()}; }
  std::size_t vocab_size() const override { return 257; }
  std::optional<TokenId> token_to_id(std::string_view) const override { return std::nullopt; }
  std::optional<std::string> id_to_token(TokenId) const override { return std::nullopt; }
};

struct CalibrationTextsTest : ::testing::Test {
  testing::TemporaryFolder folder;
  ByteTokenizer tokenizer;
  CalibrationTextOptions options;

  std::filesystem::path write(const std::string& name, const std::string& contents) {
    std::ofstream(folder / name) << contents;
    return folder / name;
  }
  // Texts "aaaa...", "bbbb..." of the given lengths.
  std::filesystem::path write_texts(const std::string& name, const std::vector<std::size_t>& lengths) {
    std::string lines;
    char letter = 'a';
    for (const std::size_t length : lengths) {
      lines += R"({"text": ")" + std::string(length, letter++) + R"(", "url": "ignored"})" + "\n";
    }
    return write(name, lines);
  }
  std::vector<std::string> sequences() const {
    const TokenBatch batch = read_calibration_texts(options, tokenizer).batch;
    std::vector<std::string> texts;
    for (std::size_t s = 0; s < batch.sequences(); ++s) texts.push_back(tokenizer.decode(batch.sequence(s), false));
    return texts;
  }
  ErrorParts error() const {
    try {
      read_calibration_texts(options, tokenizer);
    } catch (const Error& error) {
      return error.parts();
    }
    ADD_FAILURE() << "no error";
    return {};
  }
};

TEST_F(CalibrationTextsTest, LongTextsAreCutShortOnesSkipped) {
  options.files = {write_texts("x.jsonl", {10, 3, 7, 4})};
  options.tokens = 4;
  options.sequences.reset();
  options.add_special = false;
  options.short_texts = ShortTexts::skip;
  EXPECT_THAT(sequences(), ::testing::UnorderedElementsAre("aaaa", "cccc", "dddd"));
}

TEST_F(CalibrationTextsTest, LongTextsAreSplitAfterAllFirstWindows) {
  options.files = {write_texts("x.jsonl", {10, 3, 13, 4})};
  options.tokens = 4;
  options.sequences.reset();
  options.add_special = false;
  options.short_texts = ShortTexts::skip;
  options.long_texts = CalibrationTextOptions::LongTexts::split;
  auto found = sequences();
  ASSERT_EQ(found.size(), 6U);
  EXPECT_THAT(std::vector(found.begin(), found.begin() + 3), ::testing::UnorderedElementsAre("aaaa", "cccc", "dddd"));
  EXPECT_THAT(std::vector(found.begin() + 3, found.begin() + 5), ::testing::UnorderedElementsAre("aaaa", "cccc"));
  EXPECT_EQ(found.back(), "cccc");
  for (std::size_t count = 1; count < found.size(); ++count) {
    options.sequences = count;
    EXPECT_EQ(sequences(), std::vector(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count)));
  }
  options.sequences = 7;
  EXPECT_THAT(error().found, ::testing::HasSubstr("6 sequences"));
}

TEST_F(CalibrationTextsTest, ShortTextsAreKeptAsTheyAre) {
  options.files = {write_texts("x.jsonl", {10, 3, 7, 4})};
  options.tokens = 4;
  options.sequences = 4;
  options.add_special = false;
  options.short_texts = ShortTexts::keep;
  EXPECT_THAT(sequences(), ::testing::UnorderedElementsAre("aaaa", "bbb", "cccc", "dddd"));
}

TEST_F(CalibrationTextsTest, ShortTextsAreJoined) {
  options.files = {write_texts("x.jsonl", {10, 3, 3, 2, 3})};
  options.tokens = 4;
  options.sequences.reset();
  options.add_special = false;
  const auto found = sequences();
  // a by itself; of the four short texts two fill a window, cut at 4, and the other two the next, whatever the order.
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(std::count(found.begin(), found.end(), "aaaa"), 1);
  for (const std::string& text : found) {
    if (text == "aaaa") continue;
    EXPECT_EQ(text.size(), 4U);
    EXPECT_EQ(std::set(text.begin(), text.end()).size(), 2U);
    EXPECT_TRUE(std::is_partitioned(text.begin(), text.end(), [&](char c) { return c == text[0]; }));
  }
}

TEST_F(CalibrationTextsTest, PromptsAreTextsToo) {
  options.files = {write_texts("x.jsonl", {4})};
  options.prompts = [] { return std::vector<std::string>{"one two", "three", "four, \\ \"five\""}; };
  options.prompts_name = "the prompts";
  options.short_texts = CalibrationTextOptions::ShortTexts::keep;
  options.tokens = 100;
  options.sequences.reset();
  options.add_special = false;
  std::vector<std::string> found = sequences();
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (std::vector<std::string>{"aaaa", "four, \\ \"five\"", "one two", "three"}));
  EXPECT_THAT(read_calibration_texts(options, tokenizer).description, ::testing::HasSubstr("x.jsonl, the prompts"));
  options.files.clear();
  EXPECT_EQ(sequences().size(), 3U);
}

TEST_F(CalibrationTextsTest, EachTextHasItsBeginToken) {
  options.files = {write_texts("x.jsonl", {3, 3})};
  options.tokens = 6;
  options.sequences = 1;
  const TokenBatch batch = read_calibration_texts(options, tokenizer).batch;
  const auto ids = batch.sequence(0);
  EXPECT_EQ(ids[0], 256);
  EXPECT_EQ(ids[4], 256);
  EXPECT_THAT(read_calibration_texts(options, tokenizer).description, ::testing::HasSubstr("begin token 256"));
}

TEST_F(CalibrationTextsTest, TheSeedDecidesTheOrderAndNothingElseDoes) {
  options.files = {write_texts("x.jsonl", std::vector<std::size_t>(26, 9))};
  options.tokens = 8;
  options.sequences = 10;
  const auto first = sequences();
  EXPECT_EQ(first.size(), 10U);
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), 10U) << "a text was drawn twice";
  EXPECT_EQ(sequences(), first);
  const std::size_t before = thread_count();
  set_thread_count(3);
  EXPECT_EQ(sequences(), first);
  set_thread_count(before);
  options.seed = 1;
  EXPECT_NE(sequences(), first);
}

TEST_F(CalibrationTextsTest, FewerSequencesAreThefirstOfMore) {
  options.files = {write_texts("x.jsonl", std::vector<std::size_t>(26, 9))};
  options.tokens = 8;
  options.sequences = 10;
  auto many = sequences();
  options.sequences = 4;
  many.resize(4);
  EXPECT_EQ(sequences(), many);
}

TEST_F(CalibrationTextsTest, RawTextsAreCutIntoWindows) {
  options.files = {write("x.txt", "aaaabbbbcc"), write("y.txt", "ddddeee")};
  options.tokens = 4;
  options.sequences.reset();
  options.add_special = false;
  EXPECT_THAT(sequences(), ::testing::UnorderedElementsAre("aaaa", "bbbb", "dddd"));
}

TEST_F(CalibrationTextsTest, SeveralFilesAreMixed) {
  options.files = {write_texts("x.jsonl", {4, 4}), write("y.txt", "zzzz")};
  options.tokens = 4;
  options.sequences.reset();
  options.add_special = false;
  EXPECT_THAT(sequences(), ::testing::UnorderedElementsAre("aaaa", "bbbb", "zzzz"));
}

TEST_F(CalibrationTextsTest, NoFile) { EXPECT_EQ(error().found, "no file"); }

TEST_F(CalibrationTextsTest, UnknownFile) {
  options.files = {folder / "absent.jsonl"};
  EXPECT_EQ(error().where, (folder / "absent.jsonl").string());
  EXPECT_EQ(error().found, "no such file");
}

TEST_F(CalibrationTextsTest, EmptyFile) {
  options.files = {write("x.jsonl", "\n \n")};
  EXPECT_THAT(error().found, ::testing::HasSubstr("0 sequences"));
}

TEST_F(CalibrationTextsTest, TextsShorterThanAWindow) {
  options.files = {write_texts("x.jsonl", {10, 12})};
  options.tokens = 20;
  options.short_texts = ShortTexts::skip;
  EXPECT_EQ(error().found, "0 sequences of 20 tokens in 2 texts, of which the longest has 13");
  EXPECT_EQ(error().expected, "128 sequences");
  options.files = {write("x.txt", "short")};
  EXPECT_THAT(error().found, ::testing::HasSubstr("the longest has 6"));
}

TEST_F(CalibrationTextsTest, TooFewTexts) {
  options.files = {write_texts("x.jsonl", {10, 12})};
  options.tokens = 5;
  options.sequences = 3;
  EXPECT_EQ(error().found, "2 sequences of 5 tokens in 2 texts, of which the longest has 13");
}

TEST_F(CalibrationTextsTest, NothingAskedFor) {
  options.files = {write_texts("x.jsonl", {10})};
  options.sequences = 0;
  EXPECT_THAT(error().expected, ::testing::HasSubstr("at least one"));
  options.sequences = 1;
  options.tokens = 0;
  EXPECT_THAT(error().expected, ::testing::HasSubstr("at least one"));
}

TEST_F(CalibrationTextsTest, LinesThatAreNoTextsAreNamed) {
  for (const std::string bad : {"{\"txt\": \"x\"}", "[1]", "{\"text\": 4}", "no json"}) {
    options.files = {write("x.jsonl", "{\"text\": \"fine\"}\n\n" + bad + "\n")};
    options.tokens = 4;
    EXPECT_THAT(error().where, ::testing::HasSubstr("x.jsonl: line 3")) << bad;
  }
}

}  // namespace
}  // namespace lcomp
