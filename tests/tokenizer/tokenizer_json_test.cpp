#include "tokenizer/tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "tiny_tokenizer.h"

namespace lcomp {
namespace {

using nlohmann::json;
using testing::tiny_document;
using testing::tiny_tokenizer;
using testing::tokens_of;
using Strings = std::vector<std::string>;

json abc() { return tiny_document({"<unk>", "a", "b", "c", "ab", "abc"}, {"a b", "ab c"}); }

std::string json_error(const json& document) {
  try {
    tiny_tokenizer(document);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(TokenizerJson, MergesAsStringsOrPairs) {
  json document = abc();
  EXPECT_EQ(tokens_of(*tiny_tokenizer(document), "abcab"), (Strings{"abc", "ab"}));
  document["model"]["merges"] = json::array({json::array({"a", "b"}), json::array({"ab", "c"})});
  EXPECT_EQ(tokens_of(*tiny_tokenizer(document), "abcab"), (Strings{"abc", "ab"}));
  document["model"]["merges"] = {"#version: 0.2", "a b"};
  EXPECT_EQ(tokens_of(*tiny_tokenizer(document), "abcab"), (Strings{"ab", "c", "ab"}));
}

TEST(TokenizerJson, DamagedModels) {
  const auto with = [](const char* key, const json& value) {
    json document = abc();
    document["model"][key] = value;
    return json_error(document);
  };
  EXPECT_EQ(with("merges", {"a b", "a x"}),
            "tiny.json: model.merges[1]: the merge of \"a\" and \"x\"; expected \"x\" among the tokens of vocab");
  EXPECT_EQ(with("merges", {"a c"}),
            "tiny.json: model.merges[0]: the merge of \"a\" and \"c\"; expected \"ac\" among the tokens of vocab");
  EXPECT_THAT(with("merges", {"abc"}), ::testing::HasSubstr("model.merges[0]: found \"abc\"; expected \"left right\""));
  EXPECT_THAT(with("merges", json::array({json::array({"a", "b", "c"})})),
              ::testing::HasSubstr("model.merges[0]: found [\"a\",\"b\",\"c\"]"));
  EXPECT_THAT(with("vocab", {{"a", 1.5}}),
              ::testing::HasSubstr("model.vocab: the id 1.5 of the token \"a\"; expected an integer"));
  EXPECT_THAT(with("vocab", {{"a", -1}}), ::testing::HasSubstr("the id -1 of the token \"a\""));
  EXPECT_THAT(with("vocab", {{"a", 0}, {"b", 0}}), ::testing::HasSubstr("the id 0 of both \"a\" and \"b\""));
  EXPECT_THAT(with("vocab", {{"a", 2'000'000'000}}), ::testing::HasSubstr("ids without large holes"));
  EXPECT_THAT(with("vocab", {{"a", 18'000'000'000'000'000'000u}}), ::testing::HasSubstr("expected an integer"));
  EXPECT_THAT(with("type", "Unigram"),
              ::testing::StartsWith("tiny.json: model.type: found \"Unigram\"; expected \"BPE\""));
  EXPECT_THAT(with("dropout", 0.1), ::testing::StartsWith("tiny.json: model.dropout: found 0.1; expected none"));
  EXPECT_THAT(with("continuing_subword_prefix", "##"),
              ::testing::StartsWith("tiny.json: model.continuing_subword_prefix: found \"##\""));
  EXPECT_THAT(with("end_of_word_suffix", "</w>"),
              ::testing::StartsWith("tiny.json: model.end_of_word_suffix: found \"</w>\""));
  EXPECT_THAT(with("unk_token", "?"),
              ::testing::StartsWith("tiny.json: model.unk_token: found \"?\"; expected a token of vocab"));
  EXPECT_THAT(with("max_input_chars_per_word", 100), ::testing::HasSubstr("max_input_chars_per_word"));
  EXPECT_EQ(with("dropout", 0), "no error");
  EXPECT_EQ(with("end_of_word_suffix", ""), "no error");
}

TEST(TokenizerJson, UnsupportedComponentsAreNamedWithTheirPath) {
  json document = abc();
  document["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "Precompiled"}}}}};
  EXPECT_THAT(
      json_error(document),
      ::testing::StartsWith("tiny.json: normalizer.normalizers[1].type: found \"Precompiled\"; expected one of "));
  document = abc();
  document["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers", {{{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}}}}};
  EXPECT_THAT(
      json_error(document),
      ::testing::StartsWith("tiny.json: pre_tokenizer.pretokenizers[0].pattern.Regex: a group that is not closed"));
  document["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"String", "a"}}}, {"behavior", "Together"}};
  EXPECT_THAT(json_error(document),
              ::testing::StartsWith("tiny.json: pre_tokenizer.behavior: found \"Together\"; expected one of "));
  document["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"String", ""}}}};
  EXPECT_THAT(json_error(document), ::testing::StartsWith("tiny.json: pre_tokenizer.pattern: an empty pattern"));
  document["pre_tokenizer"] = {{"type", "Digits"}, {"individual_digit", true}};
  EXPECT_THAT(json_error(document), ::testing::HasSubstr("individual_digit"));
  document = abc();
  document["decoder"] = {{"type", "WordPiece"}};
  EXPECT_THAT(json_error(document),
              ::testing::StartsWith("tiny.json: decoder.type: found \"WordPiece\"; expected one of "));
  document = abc();
  document["post_processor"] = {{"type", "Sequence"}, {"processors", {{{"type", "Other"}}}}};
  EXPECT_THAT(json_error(document),
              ::testing::StartsWith("tiny.json: post_processor.processors[0].type: found \"Other\""));
  document = abc();
  document.erase("model");
  EXPECT_THAT(json_error(document), ::testing::StartsWith("tiny.json: model: missing"));
}

TEST(TokenizerJson, AddedTokensMustAgreeWithTheVocabulary) {
  const auto with = [](const json& added) {
    json document = abc();
    document["added_tokens"] = added;
    return json_error(document);
  };
  EXPECT_THAT(with({{{"id", 7}, {"content", "ab"}}}),
              ::testing::StartsWith("tiny.json: added_tokens[0]: the id 7 for \"ab\"; expected 4"));
  EXPECT_THAT(with({{{"id", 1}, {"content", "x"}}}), ::testing::HasSubstr("this is \"a\" in model.vocab"));
  EXPECT_THAT(with({{{"id", 6}, {"content", "x"}}, {{"id", 6}, {"content", "y"}}}),
              ::testing::HasSubstr("added_tokens[1]"));
  EXPECT_THAT(with({{{"id", 6}, {"content", ""}}}), ::testing::HasSubstr("without content"));
  EXPECT_EQ(with({{{"id", 4}, {"content", "ab"}}, {{"id", 9}, {"content", "x"}}}), "no error");
}

TEST(TokenizerJson, PostProcessors) {
  json document = abc();
  document["added_tokens"] = {{{"id", 6}, {"content", "<s>"}, {"special", true}},
                              {{"id", 7}, {"content", "</s>"}, {"special", true}}};
  document["post_processor"] = {{"type", "TemplateProcessing"},
                                {"single",
                                 {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                                  {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                                  {{"SpecialToken", {{"id", "end"}, {"type_id", 0}}}}}},
                                {"pair", json::array()},
                                {"special_tokens",
                                 {{"<s>", {{"id", "<s>"}, {"ids", {6}}, {"tokens", {"<s>"}}}},
                                  {"end", {{"id", "end"}, {"ids", {7, 6}}, {"tokens", {"</s>", "<s>"}}}}}}};
  const auto tokenizer = tiny_tokenizer(document);
  EXPECT_EQ(tokens_of(*tokenizer, "ab", true), (Strings{"<s>", "ab", "</s>", "<s>"}));
  EXPECT_EQ(tokens_of(*tokenizer, "ab", false), Strings{"ab"});
  const json wrapped = document["post_processor"];
  document["post_processor"] = {{"type", "Sequence"},
                                {"processors", {{{"type", "ByteLevel"}, {"trim_offsets", true}}, wrapped}}};
  EXPECT_EQ(tokens_of(*tiny_tokenizer(document), "ab", true), (Strings{"<s>", "ab", "</s>", "<s>"}));
  document["post_processor"] = {{"type", "BertProcessing"}, {"sep", {"</s>", 7}}, {"cls", {"<s>", 6}}};
  EXPECT_EQ(tokens_of(*tiny_tokenizer(document), "", true), (Strings{"<s>", "</s>"}));
  document["post_processor"]["sep"] = {"</s>", 70};
  EXPECT_THAT(json_error(document), ::testing::StartsWith("tiny.json: post_processor: the id 70"));
  document["post_processor"] = {{"type", "Sequence"}, {"processors", {wrapped, wrapped}}};
  EXPECT_THAT(json_error(document), ::testing::HasSubstr("a second processor that adds tokens"));
}

TEST(TokenizerJson, SpecialTokensAreFoundAndSkipped) {
  json document = abc();
  document["added_tokens"] = {{{"id", 6}, {"content", "<s>"}, {"special", true}},
                              {{"id", 7}, {"content", "cc"}, {"special", false}}};
  document["decoder"] = {{"type", "Fuse"}};
  const auto tokenizer = tiny_tokenizer(document);
  const auto ids = tokenizer->encode("ab<s>cccab", false);
  EXPECT_EQ(ids, (std::vector<TokenId>{4, 6, 7, 3, 4}));
  EXPECT_EQ(tokenizer->decode(ids), "ab<s>cccab");
  EXPECT_EQ(tokenizer->decode(ids, true), "abcccab");
  EXPECT_EQ(tokenizer->vocab_size(), 8u);
  EXPECT_EQ(tokenizer->token_to_id("<s>"), 6);
  EXPECT_EQ(tokenizer->token_to_id("ab"), 4);
  EXPECT_FALSE(tokenizer->token_to_id("zz").has_value());
  EXPECT_FALSE(tokenizer->id_to_token(8).has_value());
  for (const TokenId outside : {-1, 8}) EXPECT_THROW(tokenizer->decode(std::vector<TokenId>{outside}), Error);
}

// "NFD" normalizes the token, so both spellings in the text are found; the raw token is found only as it is written.
TEST(TokenizerJson, NormalizedAddedTokensAreFoundInTheNormalizedText) {
  json document = abc();
  document["normalizer"] = {{"type", "NFD"}};
  document["model"]["unk_token"] = "<unk>";
  document["added_tokens"] = {{{"id", 6}, {"content", "\u00e9"}, {"normalized", true}},
                              {{"id", 7}, {"content", "\u00e8"}, {"normalized", false}}};
  const auto tokenizer = tiny_tokenizer(document);
  EXPECT_EQ(tokenizer->encode("a\u00e9e\u0301", false), (std::vector<TokenId>{1, 6, 6}));
  EXPECT_EQ(tokenizer->encode("a\u00e8e\u0300", false), (std::vector<TokenId>{1, 7, 0, 0}));
}

TEST(TokenizerJson, InvalidUtf8IsReadAsReplacementCharacters) {
  const auto tokenizer = tiny_tokenizer(tiny_document({"a", "\ufffd"}, {}));
  EXPECT_EQ(tokens_of(*tokenizer, "a\xff\xc3"), (Strings{"a", "\ufffd", "\ufffd"}));
}

TEST(TokenizerJson, TruncationAndPaddingAreIgnored) {
  json document = abc();
  document["truncation"] = {{"max_length", 1}};
  document["padding"] = {{"strategy", "BatchLongest"}};
  EXPECT_EQ(tokens_of(*tiny_tokenizer(document), "abcab").size(), 2u);
}

}  // namespace
}  // namespace lcomp
