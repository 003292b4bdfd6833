// Token ids and decoded texts of real tokenizers against those of the reference implementations (Hugging Face
// tokenizers, SentencePiece), exactly. Where the files come from: golden/README.md, scripts/get_tokenizers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/tokenizer/tokenizer.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::downloaded_tokenizer;
using testing::golden;
using testing::shared;

struct ReferenceTokenizer {
  const char* name;
  std::filesystem::path path;
};

void PrintTo(const ReferenceTokenizer& tokenizer, std::ostream* out) { *out << tokenizer.name; }

class SlowReferenceCases : public ::testing::TestWithParam<ReferenceTokenizer> {};

TEST_P(SlowReferenceCases, AgreeExactly) {
  const auto cases_path = golden(std::string("tokenizers/cases-") + GetParam().name + ".json");
  LCOMP_REQUIRE(cases_path);
  LCOMP_REQUIRE(GetParam().path);
  const auto tokenizer = load_tokenizer(GetParam().path);
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

INSTANTIATE_TEST_SUITE_P(Real, SlowReferenceCases,
                         ::testing::Values(ReferenceTokenizer{"smollm2", shared("tokenizers/smollm2/tokenizer.json")},
                                           ReferenceTokenizer{"llama2-spm",
                                                              shared("tokenizers/llama2/tokenizer.model")},
                                           ReferenceTokenizer{"llama2", downloaded_tokenizer("llama2")},
                                           ReferenceTokenizer{"llama3", downloaded_tokenizer("llama3")},
                                           ReferenceTokenizer{"qwen3", downloaded_tokenizer("qwen3")},
                                           ReferenceTokenizer{"gemma", downloaded_tokenizer("gemma")},
                                           ReferenceTokenizer{"gemma3", downloaded_tokenizer("gemma3")}),
                         [](const auto& test) {
                           std::string name = test.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace lcomp
