#include "lcomp/interchange/gguf_tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "support/gguf_writer.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

class GgufTokenizerJson : public ::testing::Test {
 protected:
  GgufTokenizerJson() {
    writer_.set("general.architecture", std::string("llama"));
    writer_.set("llama.context_length", std::uint32_t{2048});
    writer_.set("tokenizer.ggml.model", std::string("gpt2"));
    writer_.set("tokenizer.ggml.pre", std::string("smollm"));
    writer_.set("tokenizer.ggml.tokens", std::vector<std::string>{"<end>", "a", "b", "ab", "\u0120a", "<tool>"});
    writer_.set("tokenizer.ggml.token_type", std::vector<std::int32_t>{3, 1, 1, 1, 1, 4});
    writer_.set("tokenizer.ggml.merges", std::vector<std::string>{"a b", "\u0120 a"});
    writer_.set("tokenizer.ggml.bos_token_id", std::uint32_t{0});
    writer_.set("tokenizer.ggml.eos_token_id", std::uint32_t{0});
  }

  GgufFile file() const {
    writer_.write(folder_ / "x.gguf");
    return GgufFile(folder_ / "x.gguf");
  }
  json tokenizer() const { return gguf_tokenizer_json(file()); }
  std::string error() const {
    try {
      tokenizer();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
  testing::GgufWriter writer_;
};

TEST_F(GgufTokenizerJson, ByteLevel) {
  const json made = tokenizer();
  EXPECT_EQ(made["model"]["type"], "BPE");
  EXPECT_EQ(made["model"]["vocab"]["ab"], 3);
  EXPECT_EQ(made["model"]["merges"], json::array({json::array({"a", "b"}), json::array({"\u0120", "a"})}));
  EXPECT_EQ(made["added_tokens"].size(), 2u);
  EXPECT_EQ(made["added_tokens"][0]["content"], "<end>");
  EXPECT_TRUE(made["added_tokens"][0]["special"]);
  EXPECT_EQ(made["added_tokens"][1]["id"], 5);
  EXPECT_FALSE(made["added_tokens"][1]["special"]);
  EXPECT_TRUE(made["post_processor"].is_null());
  EXPECT_EQ(made["pre_tokenizer"]["pretokenizers"][0], (json{{"type", "Digits"}, {"individual_digits", true}}));
  EXPECT_TRUE(made["pre_tokenizer"]["pretokenizers"][1]["use_regex"]);
}

TEST_F(GgufTokenizerJson, PreTokenizers) {
  writer_.set("tokenizer.ggml.pre", std::string("gpt-2"));
  EXPECT_EQ(tokenizer()["pre_tokenizer"]["type"], "ByteLevel");
  writer_.erase("tokenizer.ggml.pre");
  EXPECT_EQ(tokenizer()["pre_tokenizer"]["type"], "ByteLevel");
  writer_.set("tokenizer.ggml.pre", std::string("qwen2"));
  EXPECT_EQ(tokenizer()["normalizer"]["type"], "NFC");
  EXPECT_THAT(tokenizer()["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"].get<std::string>(),
              HasSubstr("|\\p{N}|"));
  writer_.set("tokenizer.ggml.pre", std::string("llama-bpe"));
  const json llama3 = tokenizer();
  EXPECT_TRUE(llama3["model"]["ignore_merges"]);
  EXPECT_THAT(llama3["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"].get<std::string>(),
              HasSubstr("\\p{N}{1,3}"));
  EXPECT_FALSE(llama3["pre_tokenizer"]["pretokenizers"][1]["use_regex"]);
  EXPECT_EQ(llama3["post_processor"]["single"][0]["SpecialToken"]["id"], "<end>");
  EXPECT_EQ(llama3["post_processor"]["special_tokens"]["<end>"]["ids"], json::array({0}));
  EXPECT_EQ(llama3["post_processor"]["special_tokens"]["<end>"]["tokens"], json::array({"<end>"}));
  writer_.set("tokenizer.ggml.add_bos_token", false);
  EXPECT_TRUE(tokenizer()["post_processor"].is_null());
  for (const char* same : {"phi-2", "olmo"}) {
    writer_.set("tokenizer.ggml.pre", std::string(same));
    EXPECT_EQ(tokenizer()["pre_tokenizer"]["type"], "ByteLevel") << same;
  }
  writer_.set("tokenizer.ggml.pre", std::string("dbrx"));
  EXPECT_EQ(tokenizer()["pre_tokenizer"], llama3["pre_tokenizer"]);
  EXPECT_FALSE(tokenizer()["model"]["ignore_merges"]);
  writer_.set("tokenizer.ggml.pre", std::string("deepseek-coder"));
  EXPECT_EQ(tokenizer()["pre_tokenizer"]["pretokenizers"].size(), 6u);
  writer_.set("tokenizer.ggml.pre", std::string("superbpe"));
  EXPECT_THAT(error(), HasSubstr("the pre-tokenizer \"superbpe\"; expected one of default, gpt-2, phi-2"));
}

TEST_F(GgufTokenizerJson, DefectsAreNamed) {
  writer_.set("tokenizer.ggml.merges", std::vector<std::string>{"ab"});
  EXPECT_THAT(error(), HasSubstr("the merge \"ab\""));
  writer_.set("tokenizer.ggml.merges", std::vector<std::string>{});
  writer_.set("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "a", "d", "e", "f"});
  EXPECT_THAT(error(), HasSubstr("tokens 0 and 2 are both \"a\""));
  writer_.set("tokenizer.ggml.tokens", std::vector<std::string>{"a", "\xff", "c", "d", "e", "f"});
  EXPECT_THAT(error(), HasSubstr("token 1 is no UTF-8"));
  writer_.set("tokenizer.ggml.tokens", std::vector<std::string>{"a"});
  EXPECT_THAT(error(), HasSubstr("6 token types for 1 tokens"));
  writer_.erase("tokenizer.ggml.token_type");
  writer_.set("tokenizer.ggml.add_bos_token", true);
  writer_.set("tokenizer.ggml.bos_token_id", std::uint32_t{1});
  EXPECT_THAT(error(), HasSubstr("bos_token_id is 1"));
  writer_.set("tokenizer.ggml.model", std::string("bert"));
  EXPECT_THAT(error(), HasSubstr("the tokenizer model \"bert\""));
  writer_.erase("tokenizer.ggml.model");
  EXPECT_THAT(error(), HasSubstr("no metadata \"tokenizer.ggml.model\""));
}

TEST_F(GgufTokenizerJson, Configuration) {
  writer_.set("tokenizer.chat_template", std::string("{{ x }}"));
  writer_.set("tokenizer.ggml.add_bos_token", false);
  const json config = gguf_tokenizer_config_json(file());
  EXPECT_EQ(config["bos_token"], "<end>");
  EXPECT_EQ(config["add_bos_token"], false);
  EXPECT_EQ(config["chat_template"], "{{ x }}");
  EXPECT_EQ(config["model_max_length"], 2048);
  EXPECT_FALSE(config.contains("pad_token"));
}

// The scores of SentencePiece BPE are minus the rank, and this vocabulary is in the order of ranks (but for runs of
// spaces, which were added with the score -1e9): from the scores alone, the merges must come out as the ones that
// transformers made from the same model.
TEST_F(GgufTokenizerJson, SentencePieceMergesAreThoseOfTransformers) {
  const auto path = testing::shared("tokenizers/llama2/tokenizer.json");
  LCOMP_REQUIRE(path);
  const json reference = parse_json_file(path);
  const json& vocabulary = reference["model"]["vocab"];
  std::vector<std::string> tokens(vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) tokens[id.get<std::size_t>()] = token;
  std::vector<std::int32_t> types(tokens.size(), 1);
  std::vector<float> scores(tokens.size(), 0);
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (id < 259) types[id] = id == 0 ? 2 : id < 3 ? 3 : 6;
    if (id >= 259) scores[id] = -static_cast<float>(id - 259);
    if (tokens[id].size() > 3 && tokens[id].find_first_not_of("\u2581") == std::string::npos) scores[id] = -1e9f;
  }
  writer_.set("tokenizer.ggml.model", std::string("llama"));
  writer_.set("tokenizer.ggml.tokens", tokens);
  writer_.set("tokenizer.ggml.token_type", types);
  writer_.set("tokenizer.ggml.scores", scores);
  writer_.set("tokenizer.ggml.bos_token_id", std::uint32_t{1});
  const json made = tokenizer();
  std::vector<json> pairs;
  for (const json& merge : reference["model"]["merges"]) {
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    pairs.push_back(merge.is_string() ? json{text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)} : merge);
  }
  EXPECT_EQ(made["model"]["merges"].size(), pairs.size());
  EXPECT_TRUE(made["model"]["merges"] == json(pairs));
  EXPECT_TRUE(made["model"]["vocab"] == vocabulary);
  for (const char* key : {"unk_token", "fuse_unk", "byte_fallback"})
    EXPECT_EQ(made["model"][key], reference["model"][key]);
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens"}) {
    EXPECT_EQ(made[key], reference[key]) << key;
  }
}

TEST_F(GgufTokenizerJson, SmolLM2IsItsTokenizerJson) {
  const auto gguf = testing::source_folder() / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf";
  const auto path = testing::shared("tokenizers/smollm2/tokenizer.json");
  LCOMP_REQUIRE(gguf);
  LCOMP_REQUIRE(path);
  const json made = gguf_tokenizer_json(GgufFile(gguf));
  const json reference = parse_json_file(path);
  for (const char* key : {"added_tokens", "normalizer", "pre_tokenizer", "post_processor"}) {
    EXPECT_EQ(made[key], reference[key]) << key;
  }
  EXPECT_TRUE(made["model"]["vocab"] == reference["model"]["vocab"]);
  EXPECT_TRUE(made["model"]["merges"] == reference["model"]["merges"]);
}

}  // namespace
}  // namespace lcomp
