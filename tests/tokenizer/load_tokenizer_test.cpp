#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/tokenizer/tokenizer.h"
#include "support/reference_data.h"
#include "tiny_tokenizer.h"

namespace lcomp {
namespace {

using testing::shared;
using testing::TemporaryFolder;
using testing::tiny_document;

std::string loading_error(const std::filesystem::path& path) {
  try {
    load_tokenizer(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(LoadTokenizer, SaysWhatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_EQ(loading_error(folder / "nothing"),
            (folder / "nothing").string() +
                ": no such file or folder; expected a folder with tokenizer.json or tokenizer.model, or a GGUF file");
  EXPECT_THAT(loading_error(folder.path()),
              ::testing::StartsWith(folder.path().string() +
                                    ": a folder without a tokenizer; expected tokenizer.json or tokenizer.model"));
}

TEST(LoadTokenizer, FolderPrefersTheJsonFile) {
  const TemporaryFolder folder;
  write_text_file(folder / "tokenizer.json", tiny_document({"a"}, {}).dump());
  write_text_file(folder / "tokenizer.model", "damaged");
  EXPECT_EQ(load_tokenizer(folder.path())->vocab_size(), 1u);
  std::filesystem::remove(folder / "tokenizer.json");
  EXPECT_THAT(loading_error(folder.path()), ::testing::StartsWith((folder / "tokenizer.model").string()));
}

TEST(LoadTokenizer, ErrorsNameTheFile) {
  const TemporaryFolder folder;
  write_text_file(folder / "tokenizer.json", "{\"model\": 1}");
  EXPECT_THAT(loading_error(folder.path()), ::testing::StartsWith((folder / "tokenizer.json").string() + ": model: "));
  write_text_file(folder / "tokenizer.json", "{");
  EXPECT_THAT(loading_error(folder.path()), ::testing::HasSubstr("line 1"));
  write_text_file(folder / "x.gguf", "GGUF");
  EXPECT_THAT(loading_error(folder / "x.gguf"), ::testing::StartsWith((folder / "x.gguf").string()));
}

TEST(LoadTokenizer, SentencePieceModel) {
  const auto path = shared("tokenizers/llama2/tokenizer.model");
  LCOMP_REQUIRE(path);
  const auto tokenizer = load_tokenizer(path);
  EXPECT_EQ(tokenizer->vocab_size(), 32000u);
  EXPECT_EQ(tokenizer->token_to_id("<s>"), 1);
  EXPECT_EQ(tokenizer->encode("Hello", true), (std::vector<TokenId>{1, 15043}));
}

}  // namespace
}  // namespace lcomp
