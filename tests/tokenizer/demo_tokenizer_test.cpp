#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/tokenizer/tokenizer.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

// Against the ids that the package tokenizers gives (scripts/train_world_tokenizer.py --sample).
TEST(DemoTokenizerTest, GivesTheIdsOfTheReference) {
  const std::filesystem::path source = testing::source_folder();
  const auto tokenizer = load_tokenizer(source / "demo/model");
  const nlohmann::json cases = parse_json_file((source / "tests/tokenizer/demo_tokenizer_sample.json").string());
  ASSERT_GE(cases.size(), 6u);
  for (const auto& example : cases) {
    const std::string text = example.at("text");
    const auto ids = tokenizer->encode(text, false);
    EXPECT_EQ(nlohmann::json(ids), example.at("ids")) << text;
    EXPECT_EQ(tokenizer->decode(ids), text);
  }
}

}  // namespace
}  // namespace lcomp
