// What holds for every text: round trips, no crash on any bytes, the same ids from several threads.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/tokenizer/tokenizer.h"
#include "support/reference_data.h"
#include "tiny_tokenizer.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

using testing::data;
using testing::downloaded_tokenizer;
using testing::shared;

// A byte-level tokenizer with the whole alphabet and a few merges.
std::unique_ptr<Tokenizer> byte_level_tokenizer() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(byte_character(static_cast<std::uint8_t>(byte)));
  for (const char* merged : {"Ġt", "he", "Ġthe", "ĠĠ", "Ã©", "in", "ing"}) tokens.emplace_back(merged);
  auto document = testing::tiny_document(tokens, {"Ġ t", "h e", "Ġt he", "Ġ Ġ", "Ã ©", "i n", "in g"});
  document["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  document["decoder"] = {{"type", "ByteLevel"}};
  document["added_tokens"] = {{{"id", 263}, {"content", "<|end|>"}, {"special", true}}};
  return testing::tiny_tokenizer(document);
}

// Characters of every script, ASCII and white space more often than others, now and then a token.
std::string any_text() {
  std::string text;
  for (const auto& [kind, value] : *rc::gen::container<std::vector<std::pair<int, std::uint32_t>>>(
           rc::gen::pair(rc::gen::inRange(0, 10), rc::gen::arbitrary<std::uint32_t>()))) {
    if (kind < 4) {
      text += static_cast<char>(0x20 + value % 0x5f);
    } else if (kind < 6) {
      text += " \n\t\r "[value % 5];
    } else if (kind < 8) {
      append_character(text, value % 0xd800);
    } else if (kind < 9) {
      append_character(text, 0xe000 + value % (0x110000 - 0xe000));
    } else {
      text += value % 2 == 0 ? "<|end|>" : " the";
    }
  }
  return text;
}

RC_GTEST_PROP(ByteLevelTokenizer, DecodeUndoesEncode, ()) {
  static const auto tokenizer = byte_level_tokenizer();
  const std::string text = any_text();
  RC_ASSERT(tokenizer->decode(tokenizer->encode(text, false)) == text);
}

RC_GTEST_PROP(ByteLevelTokenizer, AnyBytesAreReadAsRepairedText, (const std::string& bytes)) {
  static const auto tokenizer = byte_level_tokenizer();
  RC_ASSERT(tokenizer->decode(tokenizer->encode(bytes, false)) == replace_invalid_utf8(bytes));
}

// The tokenizers that the tests have wherever the reference data are.
std::vector<std::string> reference_paths() {
  return {shared("tokenizers/smollm2/tokenizer.json"), shared("tokenizers/llama2/tokenizer.model"),
          shared("tokenizers/llama2/tokenizer.json")};
}

TEST(AnyTokenizer, RandomBytesDoNoHarm) {
  for (const std::string& path : reference_paths()) {
    LCOMP_REQUIRE(path);
    const auto tokenizer = load_tokenizer(path);
    Rng rng(1);
    for (int round = 0; round < 200; ++round) {
      std::string bytes(rng.below(400), '\0');
      for (char& byte : bytes) byte = static_cast<char>(rng.below(256));
      const auto ids = tokenizer->encode(bytes, true);
      for (const TokenId id : ids) ASSERT_TRUE(id >= 0 && static_cast<std::size_t>(id) < tokenizer->vocab_size());
      EXPECT_TRUE(is_valid_utf8(tokenizer->decode(ids)));
    }
  }
}

TEST(AnyTokenizer, ThreadsGetTheSameIds) {
  for (const std::string& path : reference_paths()) {
    LCOMP_REQUIRE(path);
    const auto tokenizer = load_tokenizer(path);
    const std::string text = "The quick brown fox — naïve café, 東京 12345 times.\n\n  And then?";
    const auto expected = tokenizer->encode(text, true);
    std::vector<std::thread> threads;
    std::vector<int> wrong(4, 0);
    for (std::size_t t = 0; t < wrong.size(); ++t) {
      threads.emplace_back([&, t] {
        for (std::size_t round = 0; round < 50; ++round) {
          if (tokenizer->encode(text, true) != expected) ++wrong[t];
          if (tokenizer->encode(text.substr(t + round % 5), false).empty()) ++wrong[t];
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, std::vector<int>(wrong.size(), 0));
  }
}

// One piece of a million characters: the queue of merges keeps this far below a second; a quadratic algorithm takes
// hours.
TEST(SlowAnyTokenizer, LongTextsWithoutSpacesTakeLinearTime) {
  Rng rng(2);
  std::string base64(1 << 20, '\0'), marks = "a";
  for (char& c : base64) c = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[rng.below(64)];
  for (int i = 0; i < 1 << 18; ++i) marks += "\u0300\u0316";
  const std::vector<std::string> texts = {std::string(1 << 20, 'a'), std::string(1 << 20, ' '),
                                          std::string(1 << 20, '\n'), base64, marks};
  auto paths = reference_paths();
  for (const char* name : {"llama3", "qwen3", "gemma3"}) paths.push_back(downloaded_tokenizer(name) / "tokenizer.json");
  for (const std::string& path : paths) {
    if (!std::filesystem::exists(path)) continue;
    const auto tokenizer = load_tokenizer(path);
    for (const std::string& text : texts) {
      const auto ids = tokenizer->encode(text, false);
      EXPECT_FALSE(ids.empty());
      const bool changes_text = path.find("qwen3") != std::string::npos;  // it normalizes
      EXPECT_TRUE(changes_text || tokenizer->decode(ids) == text) << path;
    }
  }
}

TEST(SlowAnyTokenizer, WikiTextRoundTrip) {
  const auto text_path = data("wikitext2/wiki.test.raw");
  LCOMP_REQUIRE(text_path);
  const std::string text = read_text_file(text_path);
  auto paths = reference_paths();
  for (const char* name : {"llama2", "llama3", "qwen3", "gemma", "gemma3"})
    paths.push_back(downloaded_tokenizer(name) / "tokenizer.json");
  for (const std::string& path : paths) {
    if (!std::filesystem::exists(path)) continue;
    const auto tokenizer = load_tokenizer(path);
    EXPECT_TRUE(tokenizer->decode(tokenizer->encode(text, false)) == text) << path;
  }
}

}  // namespace
}  // namespace lcomp
