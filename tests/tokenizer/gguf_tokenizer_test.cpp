// Real tokenizers written into GGUF metadata as llama.cpp's converter does, and read back from there: the same ids and
// texts as the reference implementations, exactly (golden/README.md). Scores of SentencePiece are minus the rank of the
// merge that makes a token. (Not Gemma 1: its tokenizer.json leaves to merges what SentencePiece has as user-defined
// tokens.)
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <unordered_map>
#include <vector>

#include "lcomp/io/config_reader.h"
#include "lcomp/tokenizer/tokenizer.h"
#include "support/gguf_writer.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using nlohmann::json;
using testing::golden;

struct Case {
  const char* name;     // of golden/tokenizers
  const char* model;    // tokenizer.ggml.model
  const char* pre;      // tokenizer.ggml.pre, for gpt2
  bool prefix = false;  // add_space_prefix, for llama
};

std::filesystem::path tokenizer_json_of(const std::string& name) {
  if (name == "smollm2" || name == "llama2") return testing::shared("tokenizers/" + name + "/tokenizer.json");
  return testing::downloaded_tokenizer(name) / "tokenizer.json";
}

std::pair<std::string, std::string> parts_of(const json& merge) {
  if (merge.is_array()) return {merge[0], merge[1]};
  const std::string text = merge;
  const std::size_t space = text.find(' ', 1);
  return {text.substr(0, space), text.substr(space + 1)};
}

testing::GgufWriter as_gguf(const json& tokenizer, const Case& which) {
  constexpr std::int32_t normal = 1, unknown = 2, control = 3, user_defined = 4, byte = 6;
  const json& model = tokenizer.at("model");
  std::vector<std::string> tokens;
  const auto place = [&](const std::string& token, std::size_t id) {
    if (tokens.size() <= id) tokens.resize(id + 1);
    tokens[id] = token;
  };
  for (const auto& [token, id] : model.at("vocab").items()) place(token, id);
  for (const json& added : tokenizer.at("added_tokens")) place(added.at("content"), added.at("id"));
  std::vector<std::int32_t> types(tokens.size(), normal);
  std::vector<float> scores(tokens.size(), -1e9f);
  std::vector<std::string> merges;
  std::unordered_map<std::string, std::size_t> ids;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty()) tokens[id] = "[PAD" + std::to_string(id) + "]";
    ids.emplace(tokens[id], id);
  }
  for (std::size_t rank = 0; rank < model.at("merges").size(); ++rank) {
    const auto [left, right] = parts_of(model.at("merges")[rank]);
    float& score = scores.at(ids.at(left + right));
    if (score == -1e9f) score = -static_cast<float>(rank);
    merges.push_back(left + " " + right);
  }
  for (const json& added : tokenizer.at("added_tokens")) {
    types[added.at("id").get<std::size_t>()] = added.at("special").get<bool>() ? control : user_defined;
  }
  testing::GgufWriter writer;
  writer.set("general.architecture", std::string("llama"));
  writer.set("tokenizer.ggml.model", std::string(which.model));
  if (which.pre != nullptr) {
    writer.set("tokenizer.ggml.pre", std::string(which.pre));
    writer.set("tokenizer.ggml.merges", std::move(merges));
  } else {
    for (int value = 0; value < 256; ++value) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(value));
      types[ids.at(name)] = byte;
    }
    const std::size_t id = ids.at("<unk>");
    types[id] = unknown;
    writer.set("tokenizer.ggml.unknown_token_id", static_cast<std::uint32_t>(id));
    writer.set("tokenizer.ggml.scores", std::move(scores));
    writer.set("tokenizer.ggml.add_space_prefix", which.prefix);
  }
  writer.set("tokenizer.ggml.tokens", std::move(tokens));
  writer.set("tokenizer.ggml.token_type", std::move(types));
  writer.set("tokenizer.ggml.add_bos_token", false);
  return writer;
}

struct Cuts {
  const char* pre;
  bool before_capital;  // "oW" is never one token
  bool digits;          // nor is "12"
  bool three_digits;    // nor "34" in "1234"
};

class GgufPreTokenizers : public ::testing::TestWithParam<Cuts> {};

// What merges across the places where a text is cut: nothing.
TEST_P(GgufPreTokenizers, CutBeforeTheMerges) {
  const testing::TemporaryFolder folder;
  testing::GgufWriter writer;
  writer.set("tokenizer.ggml.model", std::string("gpt2"));
  writer.set("tokenizer.ggml.pre", std::string(GetParam().pre));
  writer.set("tokenizer.ggml.tokens", std::vector<std::string>{"o", "W", "oW", "1", "2", "12", "3", "4", "34"});
  writer.set("tokenizer.ggml.merges", std::vector<std::string>{"o W", "1 2", "3 4"});
  writer.set("tokenizer.ggml.add_bos_token", false);
  writer.write(folder / "x.gguf");
  const auto tokenizer = load_tokenizer(folder / "x.gguf");
  using Ids = std::vector<TokenId>;
  EXPECT_EQ(tokenizer->encode("oW", false), (GetParam().before_capital ? Ids{0, 1} : Ids{2}));
  EXPECT_EQ(tokenizer->encode("12", false), (GetParam().digits ? Ids{3, 4} : Ids{5}));
  if (GetParam().digits) return;
  EXPECT_EQ(tokenizer->encode("1234", false), (GetParam().three_digits ? Ids{5, 6, 7} : Ids{5, 8}));
}

INSTANTIATE_TEST_SUITE_P(Names, GgufPreTokenizers,
                         ::testing::Values(Cuts{"default", false, false, false}, Cuts{"phi-2", false, false, false},
                                           Cuts{"starcoder", false, true, true}, Cuts{"qwen2", false, true, true},
                                           Cuts{"deepseek-coder", false, true, true},
                                           Cuts{"llama-bpe", false, false, true}, Cuts{"dbrx", false, false, true},
                                           Cuts{"tekken", true, true, true}, Cuts{"gpt-4o", true, false, true}),
                         [](const auto& test) {
                           std::string name = test.param.pre;
                           std::erase(name, '-');
                           return name;
                         });

class SlowGgufTokenizer : public ::testing::TestWithParam<Case> {};

TEST_P(SlowGgufTokenizer, AgreesWithTheReference) {
  const std::string name = GetParam().name;
  const auto cases_path = golden("tokenizers/cases-" + name + ".json");
  LCOMP_REQUIRE(cases_path);
  LCOMP_REQUIRE(tokenizer_json_of(name));
  const testing::TemporaryFolder folder;
  as_gguf(parse_json_file(tokenizer_json_of(name)), GetParam()).write(folder / "vocabulary.gguf");
  const auto tokenizer = load_tokenizer(folder / "vocabulary.gguf");
  for (const auto& item : parse_json_file(cases_path)) {
    const auto text = item.at("text").get<std::string>();
    const auto ids = item.at("ids").get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer->encode(text, false), ids) << text;
    EXPECT_EQ(tokenizer->decode(ids), item.at("decoded").get<std::string>()) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Real, SlowGgufTokenizer,
                         ::testing::Values(Case{"smollm2", "gpt2", "smollm"}, Case{"llama3", "gpt2", "llama-bpe"},
                                           Case{"qwen3", "gpt2", "qwen2"}, Case{"llama2", "llama", nullptr, true},
                                           Case{"gemma3", "llama", nullptr}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace lcomp
