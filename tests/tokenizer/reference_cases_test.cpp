// Token ids and decoded texts of real tokenizers against those of the reference implementations (Hugging Face
// tokenizers, SentencePiece, llama.cpp), exactly. Where the files come from: golden/README.md, scripts/get_tokenizers.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/tokenizer/tokenizer.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::downloaded_tokenizer;
using testing::golden;
using testing::shared;

// The tokenizers of golden/tokenizers by name.
std::filesystem::path tokenizer_path(const std::string& name) {
  if (name == "smollm2") return shared("tokenizers/smollm2/tokenizer.json");
  if (name == "llama2-spm") return shared("tokenizers/llama2/tokenizer.model");
  return downloaded_tokenizer(name) / "tokenizer.json";
}

std::string test_name(const ::testing::TestParamInfo<const char*>& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

void expect_agreement(const std::string& name) {
  const auto cases_path = golden("tokenizers/cases-" + name + ".json");
  LCOMP_REQUIRE(cases_path);
  LCOMP_REQUIRE(tokenizer_path(name));
  const auto tokenizer = load_tokenizer(tokenizer_path(name));
  const nlohmann::json cases = parse_json_file(cases_path);
  EXPECT_EQ(cases.size(), 138u);
  for (const auto& item : cases) {
    const auto text = item.at("text").get<std::string>();
    SCOPED_TRACE(text);
    const auto ids = item.at("ids").get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer->encode(text, false), ids);
    EXPECT_EQ(tokenizer->encode(text, true), item.at("ids_with_special").get<std::vector<TokenId>>());
    EXPECT_EQ(tokenizer->decode(ids), item.at("decoded").get<std::string>());
  }
}

class ReferenceCases : public ::testing::TestWithParam<const char*> {};
TEST_P(ReferenceCases, AgreeExactly) { expect_agreement(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Small, ReferenceCases, ::testing::Values("smollm2", "llama2-spm", "llama2"), test_name);

class SlowReferenceCases : public ::testing::TestWithParam<const char*> {};
TEST_P(SlowReferenceCases, AgreeExactly) { expect_agreement(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Large, SlowReferenceCases, ::testing::Values("llama3", "qwen3", "gemma", "gemma3"), test_name);

// llama.cpp's own tokenization tests: texts separated by a line, and one line of ids for each.
class SlowLlamaCppCases : public ::testing::TestWithParam<const char*> {};

TEST_P(SlowLlamaCppCases, AgreeExactly) {
  const std::map<std::string, std::string> tokenizers = {
      {"llama-bpe", "llama3"}, {"llama-spm", "llama2-spm"}, {"phi-3", "llama2-spm"}, {"qwen2", "qwen3"}};
  const std::string stem = std::string("tokenizers/llama.cpp-cases/ggml-vocab-") + GetParam() + ".gguf";
  LCOMP_REQUIRE(shared(stem + ".inp"));
  const auto path = tokenizer_path(tokenizers.at(GetParam()));
  LCOMP_REQUIRE(path);
  const auto tokenizer = load_tokenizer(path);
  std::string texts = read_text_file(shared(stem + ".inp"));
  std::istringstream lines(read_text_file(shared(stem + ".out")));
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::size_t count = 0;
  for (std::size_t end = texts.find(separator); end != std::string::npos; end = texts.find(separator)) {
    const std::string text = texts.substr(0, end);
    texts.erase(0, end + separator.size());
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    std::istringstream numbers(line);
    std::vector<TokenId> ids;
    for (TokenId id = 0; numbers >> id;) ids.push_back(id);
    EXPECT_EQ(tokenizer->encode(text, false), ids) << text;
    ++count;
  }
  EXPECT_EQ(count, 46u);
}

INSTANTIATE_TEST_SUITE_P(Real, SlowLlamaCppCases, ::testing::Values("llama-bpe", "llama-spm", "phi-3", "qwen2"),
                         test_name);

}  // namespace
}  // namespace lcomp
