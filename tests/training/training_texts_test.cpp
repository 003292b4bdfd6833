#include "training/training_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lcomp/core/error.h"
#include "small_texts.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

TrainingTexts read(const std::vector<nlohmann::json>& lines, std::optional<TokenId> end = std::nullopt) {
  const testing::TemporaryFolder folder;
  testing::write_lines(folder / "texts.jsonl", lines);
  return TrainingTexts::read(folder / "texts.jsonl", *testing::character_tokenizer(), end);
}

TEST(TrainingTexts, TokensOfTextsInOrder) {
  const TrainingTexts texts = read({{{"text", "ab"}}, {{"text", "!"}}, {{"text", "b!"}, {"subject", "any"}}});
  ASSERT_EQ(texts.texts(), 2U);  // "!" alone predicts nothing
  EXPECT_THAT(texts.ids(0), ElementsAre(66, 67));
  EXPECT_THAT(texts.ids(1), ElementsAre(67, 2));
  EXPECT_THAT(texts.weights(0), IsEmpty());
}

TEST(TrainingTexts, TokensCountAsThePartOfTheirLastByte) {
  const TrainingTexts texts =
      read({{{"text", "ab"}}, testing::parts_line({{"ab", 0.5}, {"", 9}, {"c", 3}, {"d", 0}})}, 96);
  ASSERT_EQ(texts.texts(), 2U);
  EXPECT_THAT(texts.weights(0), ElementsAre(1, 1, 1));
  EXPECT_THAT(texts.ids(1), ElementsAre(66, 67, 68, 69, 96));
  EXPECT_THAT(texts.weights(1), ElementsAre(0.5F, 0.5F, 3, 0, 0));  // the end token as the last part
}

// Merges cross the parts' borders: "a" "bc" with the merge "ab" is "ab" (last byte in the second part), "c".
TEST(TrainingTexts, ATokenMayCrossABorder) {
  nlohmann::json document = testing::small_tokenizer(testing::small_vocabulary);
  document["model"]["vocab"]["ab"] = 97;
  document["model"]["merges"] = {"a b"};
  const auto tokenizer = tokenizer_from_json(document, "tokenizer.json");
  const testing::TemporaryFolder folder;
  testing::write_lines(folder / "texts.jsonl", {testing::parts_line({{"a", 0.25}, {"bc", 2}})});
  const TrainingTexts texts = TrainingTexts::read(folder / "texts.jsonl", *tokenizer, std::nullopt);
  EXPECT_THAT(texts.ids(0), ElementsAre(97, 68));
  EXPECT_THAT(texts.weights(0), ElementsAre(2, 2));
}

// "\xC3\xA9" is two tokens, neither of them UTF-8.
TEST(TrainingTexts, TokensThatArePartsOfCharacters) {
  nlohmann::json document = testing::small_tokenizer(testing::small_vocabulary);
  document["model"]["vocab"]["\xC3\x83"] = 97;  // byte C3 in the byte-level alphabet
  document["model"]["vocab"]["\xC2\xA9"] = 98;  // byte A9
  const auto tokenizer = tokenizer_from_json(document, "tokenizer.json");
  const std::string text = "a\xC3\xA9z";
  const std::vector<TokenId> ids = tokenizer->encode(text, false);
  ASSERT_THAT(ids, ElementsAre(66, 97, 98, 91));
  EXPECT_THAT(token_ends(*tokenizer, text, ids, "text"), ElementsAre(1, 2, 3, 4));
}

TEST(TrainingTexts, DefectsNameTheLine) {
  const auto fails = [](const nlohmann::json& line, const char* what) {
    EXPECT_THAT(
        [&] {
          read({{{"text", "ab"}}, line});
        },
        ThrowsMessage<Error>(::testing::AllOf(HasSubstr("line 2"), HasSubstr(what))));
  };
  fails({{"texts", "ab"}}, "neither");
  fails({{"text", "ab"}, {"parts", nlohmann::json::array()}}, "both");
  fails(testing::parts_line({{"ab", -1}}), "weight");
  fails({{"parts", {"ab", "c"}}}, "weight");
  EXPECT_THAT([&] { read({{{"text", "a"}}}); }, ThrowsMessage<Error>(HasSubstr("no texts")));
}

}  // namespace
}  // namespace lcomp
