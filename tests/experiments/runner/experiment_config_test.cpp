#include "runner/experiment_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const char* const kConfig = R"({
  "model": "models/some",
  "methods": [{"name": "rounding", "quantizer": {"method": "rtn", "group_size": 64}}],
  "sizes": [{"bits": 4}, {"ratio": 5}],
  "tasks": [{"task": "kl", "protocol": "wikitext2", "sequences": 8}]
})";

class ExperimentConfigTest : public ::testing::Test {
 protected:
  ExperimentConfig read(const std::string& text, const std::vector<std::string>& settings = {}) {
    write_text_file(folder_ / "table.json", text);
    return read_experiment(folder_ / "table.json", settings);
  }

  std::string error(const std::string& text, const std::vector<std::string>& settings = {}) {
    try {
      read(text, settings);
    } catch (const Error& caught) {
      EXPECT_THAT(caught.what(), Not(HasSubstr("\n")));
      return caught.what();
    }
    return "no error";
  }

  std::string replaced(const std::string& from, const std::string& to) {
    std::string text = kConfig;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos);
    return text.replace(at, from.size(), to);
  }

  testing::TemporaryFolder folder_;
};

TEST_F(ExperimentConfigTest, ReadsWhatIsThereAndDefaultsTheRest) {
  const ExperimentConfig config = read(kConfig);
  EXPECT_EQ(config.name, "table");
  EXPECT_EQ(config.output, "runs/table");
  ASSERT_EQ(config.methods.size(), 1u);
  EXPECT_EQ(config.methods[0].setting.at("quantizer").at("group_size"), 64);
  ASSERT_EQ(config.methods[0].sizes.size(), 2u);
  EXPECT_EQ(config.methods[0].sizes[0].name(), "4 bits");
  EXPECT_EQ(config.methods[0].sizes[1].name(), "ratio 5");
  ASSERT_EQ(config.tasks.size(), 1u);
  EXPECT_TRUE(config.tasks[0].kl);
  EXPECT_EQ(config.tasks[0].protocol.sequences, 8u);
}

TEST_F(ExperimentConfigTest, SettingsChangeEntries) {
  const ExperimentConfig config = read(
      kConfig, {"tasks[0].sequences=3", "model=models/other", "methods[0].quantizer.group_size=32", "name=renamed"});
  EXPECT_EQ(config.tasks[0].protocol.sequences, 3u);
  EXPECT_EQ(config.model, "models/other");
  EXPECT_EQ(config.methods[0].setting.at("quantizer").at("group_size"), 32);
  EXPECT_EQ(config.name, "renamed");
}

TEST_F(ExperimentConfigTest, WrongSettingsAreNamed) {
  EXPECT_THAT(error(kConfig, {"tasks[4].sequences=3"}), HasSubstr("tasks[4].sequences"));
  EXPECT_THAT(error(kConfig, {"tasks[1]=3"}), HasSubstr("tasks[1]"));
  EXPECT_THAT(error(kConfig, {"noequals"}), HasSubstr("KEY=VALUE"));
  EXPECT_THAT(error(kConfig, {"modle=x"}), AllOf(HasSubstr("modle"), HasSubstr("model")));
}

TEST_F(ExperimentConfigTest, MistakesNameTheKeysPath) {
  EXPECT_THAT(error(replaced("\"sequences\"", "\"sequence\"")), AllOf(HasSubstr("tasks[0]"), HasSubstr("sequence")));
  EXPECT_THAT(error(replaced("\"sequences\": 8", "\"sequences\": 8.5")),
              AllOf(HasSubstr("tasks[0].sequences"), HasSubstr("8.5")));
  EXPECT_THAT(error(replaced("\"sequences\": 8", "\"sequences\": true")), HasSubstr("tasks[0].sequences"));
  EXPECT_THAT(error(replaced("{\"bits\": 4}", "{\"bits\": 4, \"ratio\": 3}")), HasSubstr("sizes[0]"));
  EXPECT_THAT(error(replaced("{\"bits\": 4}", "{\"bits\": 17}")), HasSubstr("sizes[0].bits"));
  EXPECT_THAT(error(replaced("\"kl\"", "\"mmul\"")), HasSubstr("tasks[0].task"));
  EXPECT_THAT(error(replaced("\"model\": \"models/some\",", "")), HasSubstr("model"));
  EXPECT_THAT(error("{\"model\": \"a\", }"), HasSubstr("line 1"));
}

TEST_F(ExperimentConfigTest, TheShippedExperimentsAreRead) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(testing::source_folder() / "experiments" / "configs")) {
    if (entry.path().extension() != ".json") continue;
    EXPECT_FALSE(read_experiment(entry.path(), {}).tasks.empty()) << entry.path();
    ++count;
  }
  EXPECT_GT(count, 0);
}

}  // namespace
}  // namespace lcomp
