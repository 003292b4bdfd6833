// What lcomp run looks at before it starts.
#include "runner/experiment_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "experiments/command_line.h"
#include "experiments/small_model.h"
#include "lcomp/core/error.h"
#include "runner/time_estimate.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::golden;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::run_lcomp;

class ExperimentCheck : public ::testing::Test {
 protected:
  void SetUp() override {
    LCOMP_REQUIRE(golden("families/llama-tied"));
    experiment_ = {
        {"name", "checked"},
        {"model", testing::copy_small_model(folder_ / "model")},
        {"output", (folder_ / "runs").string()},
        {"data", (folder_ / "data").string()},
        {"methods", {{{"name", "rounding"}, {"quantizer", {{"method", "rtn"}, {"group_size", 16}}}}}},
        {"sizes", {{{"bits", 4}}}},
        {"tasks",
         {{{"task", "perplexity"}, {"protocol", "file"}, {"file", (folder_ / "text.txt").string()}, {"window", 32}}}}};
    testing::write_small_text(folder_ / "text.txt");
  }

  std::string file() {
    write_text_file(folder_ / "experiment.json", experiment_.dump());
    return folder_ / "experiment.json";
  }
  // Of the Error that `lcomp run` ends with, in one line, before anything is written.
  std::string refusal(int exit_code = 2) {
    const auto result = run_lcomp({"run", file(), "--quiet"});
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(fs::exists(folder_ / "runs"));
    return result.err;
  }

  testing::TemporaryFolder folder_;
  nlohmann::json experiment_;
};

TEST_F(ExperimentCheck, EveryMissingFileIsNamedWithItsSize) {
  experiment_["model"] = (folder_ / "absent").string();
  experiment_["checkpoint"] = {{"source", "a hub"}, {"bytes", 16060522496}};
  experiment_["tasks"] = {{{"task", "mmlu"}}, {{"task", "perplexity"}, {"protocol", "c4"}}};
  experiment_["calibration"] = {{"texts", {(folder_ / "mine.jsonl").string()}}};
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("absent (the original, 16.1 GB, from a hub)"), HasSubstr("mmlu/test"),
                    HasSubstr("6.4 MB"), HasSubstr("c4/c4-valid.jsonl"), HasSubstr("mine.jsonl (calibration texts)")));
}

TEST_F(ExperimentCheck, ATaskMayHaveItsOwnData) {
  experiment_["tasks"] = {{{"task", "mmlu"}, {"name", "one"}, {"data", (folder_ / "one").string()}},
                          {{"task", "mmlu"}, {"name", "other"}}};
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr((folder_ / "one/mmlu/test").string()), HasSubstr((folder_ / "data/mmlu/test").string())));
}

TEST_F(ExperimentCheck, MissingShardsAreNamed) {
  write_text_file(
      folder_ / "model/model.safetensors.index.json",
      R"({"metadata": {"total_size": 8000000000}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})");
  write_text_file(folder_ / "model/one.safetensors", "");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("two.safetensors (about 4.0 GB)"), Not(HasSubstr("one.safetensors"))));
}

TEST_F(ExperimentCheck, SettingsAreCheckedBeforeFiles) {
  experiment_["model"] = (folder_ / "absent").string();
  experiment_["methods"][0]["quantizer"] = "learned";
  EXPECT_THAT(refusal(), AllOf(HasSubstr("\"learned\""), HasSubstr("\"gptq\"")));
}

TEST_F(ExperimentCheck, ADiskThatIsTooSmallIsRefused) {
  experiment_["sizes"] = {{{"bytes", 100000000000000000}}};
  EXPECT_THAT(refusal(1), AllOf(HasSubstr("free on its disk"), HasSubstr("300000000.0 GB")));
}

TEST_F(ExperimentCheck, MethodsMayHaveSizesOfTheirOwn) {
  experiment_["methods"].push_back({{"name", "other"},
                                    {"quantizer", {{"method", "rtn"}, {"group_size", 8}}},
                                    {"sizes", {{{"bits", 2}}, {{"bits", 3}}}}});
  const auto check = run_lcomp({"run", file(), "--check"});
  ASSERT_EQ(check.exit_code, 0) << check.err;
  EXPECT_THAT(check.out, AllOf(HasSubstr("4 of 4 cells to compute, about "), HasSubstr("GB of disk")));
  EXPECT_FALSE(fs::exists(folder_ / "runs")) << "a check writes nothing";
  const auto run = run_lcomp({"run", file(), "--json", "--quiet"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto rows = nlohmann::json::parse(run.out).at("rows");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[1].at("size"), "4 bits");
  EXPECT_EQ(rows[3].at("size"), "3 bits");
  EXPECT_TRUE(fs::exists(folder_ / "runs/report.html"));
  EXPECT_THAT(run_lcomp({"run", file(), "--check"}).out, HasSubstr("everything is there already"));
  experiment_.erase("sizes");
  EXPECT_THAT(run_lcomp({"run", file()}).err, HasSubstr("a method without sizes"));
}

TEST(RoughDuration, IsForPeople) {
  EXPECT_EQ(rough_duration(0.2), "about 1 s");
  EXPECT_EQ(rough_duration(300), "about 5 min");
  EXPECT_EQ(rough_duration(7900), "about 2 h 10 min");
}

}  // namespace
}  // namespace lcomp
