#include "lcomp/eval/text_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "byte_tokenizer.h"
#include "lcomp/core/error.h"
#include "lcomp/eval/texts.h"
#include "lcomp/io/atomic_file.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::ByteTokenizer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message;
using testing::TemporaryFolder;

TextProtocol read(const char* json) {
  const nlohmann::json object = parse_json(json, "test");
  ConfigReader reader(object, "test");
  TextProtocol protocol = TextProtocol::from_config(reader);
  reader.finish();
  return protocol;
}

TEST(TextProtocol, DefaultsFollowTheProtocol) {
  const TextProtocol c4 = read(R"({"protocol": "c4"})");
  EXPECT_EQ(c4.window, 1024u);
  EXPECT_EQ(c4.first_scored, 512u);
  const TextProtocol wikitext = read("{}");
  EXPECT_EQ(wikitext.kind, TextProtocol::Kind::wikitext2);
  EXPECT_EQ(wikitext.window, 512u);
  EXPECT_EQ(wikitext.first_scored, 1u);
}

TEST(TextProtocol, ConfigRoundTrips) {
  const TextProtocol protocol =
      read(R"({"protocol": "c4", "window": 64, "first_scored": 32, "sequences": 3, "bos": false})");
  EXPECT_EQ(read(protocol.to_json().dump().c_str()).to_json(), protocol.to_json());
}

TEST(TextProtocol, WrongValuesNameTheKey) {
  EXPECT_THAT(message([] { read(R"({"protocol": "c5"})"); }), HasSubstr("protocol"));
  EXPECT_THAT(message([] { read(R"({"window": 16, "first_scored": 16})"); }), HasSubstr("first_scored"));
  EXPECT_THAT(message([] { read(R"({"windw": 16})"); }), HasSubstr("window"));
}

TEST(TextProtocol, RawTextIsCutIntoWindows) {
  const TemporaryFolder folder;
  write_text_file(folder / "text.txt", "abcdefghij");
  TextProtocol protocol = read(R"({"window": 4})");
  protocol.kind = TextProtocol::Kind::file;
  protocol.file = folder / "text.txt";
  // 11 tokens with the begin token: windows (B a b c) (d e f g), and a tail of 3 that fills none
  const ScoringBatch batch = make_scoring_batch(protocol, ByteTokenizer(), "");
  EXPECT_THAT(batch.tokens.ids, ElementsAre(256, 'a', 'b', 'c', 'd', 'e', 'f', 'g'));
  EXPECT_THAT(batch.tokens.offsets, ElementsAre(0, 4, 8));
  EXPECT_EQ(batch.scored_tokens(), 6u);
  EXPECT_FALSE(batch.mean_over_sequences);
  EXPECT_THAT(batch.description, HasSubstr("begin token 256"));
}

TEST(TextProtocol, ShortTextsAreLeftOut) {
  const TemporaryFolder folder;
  write_text_file(folder / "texts.jsonl", "{\"text\": \"abcdef\"}\n{\"text\": \"xy\"}\n\n{\"text\": \"uvwx\"}\n");
  TextProtocol protocol = read(R"({"window": 4, "first_scored": 2, "bos": false})");
  protocol.kind = TextProtocol::Kind::file;
  protocol.file = folder / "texts.jsonl";
  const ScoringBatch batch = make_scoring_batch(protocol, ByteTokenizer(), "");
  EXPECT_THAT(batch.tokens.ids, ElementsAre('a', 'b', 'c', 'd', 'u', 'v', 'w', 'x'));
  EXPECT_EQ(batch.scored_tokens(), 4u);
  EXPECT_TRUE(batch.mean_over_sequences);

  protocol.window = 100;
  EXPECT_THAT(message([&] { make_scoring_batch(protocol, ByteTokenizer(), ""); }), HasSubstr("at most 6 tokens"));
}

TEST(Texts, BadLinesAreNamed) {
  const TemporaryFolder folder;
  write_text_file(folder / "texts.jsonl", "{\"text\": \"a\"}\n{\"text\": 3}\n");
  EXPECT_THAT(message([&] { read_jsonl_texts(folder / "texts.jsonl"); }), HasSubstr("line 2"));
}

TEST(Texts, AbsentDataSaysWhereItIsPublished) {
  const TemporaryFolder folder;
  const std::string text = message([&] { wikitext2_test(folder.path()); });
  EXPECT_THAT(text, HasSubstr("wikitext2/wiki.test.raw"));
  EXPECT_THAT(text, HasSubstr("wikitext-2-raw-v1"));
  EXPECT_THAT(message([] { data_folder("/nonexistent/folder"); }), HasSubstr("--data"));
}

}  // namespace
}  // namespace lcomp
