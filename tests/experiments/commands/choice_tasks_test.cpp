// Questions with choices: lcomp eval, and as tasks of an experiment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "experiments/command_line.h"
#include "experiments/small_model.h"

namespace lcomp {
namespace {

using testing::CommandResult;
using testing::golden;
using ::testing::HasSubstr;
using testing::run_lcomp;

class ChoiceTasks : public ::testing::Test {
 protected:
  void SetUp() override {
    LCOMP_REQUIRE(golden("families/llama-tied"));
    model_ = testing::copy_small_model(folder_ / "model");
    std::string lines;
    for (int i = 0; i < 10; ++i) {
      lines += nlohmann::json{{"question", "Is it " + std::to_string(i) + "?"},
                              {"choices", {"yes", "no"}},
                              {"answer", i % 2},
                              {"subject", i < 6 ? "first" : "second"}}
                   .dump() +
               "\n";
    }
    // Longer than the model's 128 positions.
    lines +=
        nlohmann::json{
            {"question", std::string(200, 'x')}, {"choices", {"yes", "no"}}, {"answer", 0}, {"subject", "second"}}
            .dump() +
        "\n";
    questions_ = folder_ / "questions.jsonl";
    write_text_file(questions_, lines);
  }

  CommandResult eval(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"eval", model_, "--task", task_, "--file", questions_, "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_lcomp(arguments);
  }

  void expect_mistake(std::vector<std::string> more, const std::string& part) {
    const CommandResult result = eval(std::move(more));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr(part));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  testing::TemporaryFolder folder_;
  std::string model_, questions_, task_ = "choices";
};

TEST_F(ChoiceTasks, EvalReportsAccuraciesAndKeepsAnswers) {
  const std::string file = folder_ / "answers.jsonl";
  const CommandResult result = eval({"--prompt", "cloze", "--answers", file, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto choices = nlohmann::json::parse(result.out).at("choices");
  EXPECT_EQ(choices.at("questions"), 10);
  EXPECT_EQ(choices.at("too_long"), 1);
  EXPECT_EQ(choices.at("subjects").at("first").at("questions"), 6);
  EXPECT_TRUE(choices.at("normalizations").contains("token"));

  // Again, from half of the file; the second run is compared with the first.
  const std::string whole = read_text_file(file);
  write_text_file(folder_ / "cut.jsonl", whole.substr(0, whole.size() / 2));
  const CommandResult again = eval({"--prompt", "cloze", "--answers", folder_ / "cut.jsonl", "--against", file});
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("0 answers differ"));
  EXPECT_THAT(again.out, HasSubstr("1 questions are longer than the model's context"));
  EXPECT_EQ(read_text_file(folder_ / "cut.jsonl"), whole);
  expect_mistake({"--answers", file}, "answers of another run");
  expect_mistake({"--against", file}, "runs of different protocol");
}

TEST_F(ChoiceTasks, OptionsThatMeanNothingAreRefused) {
  expect_mistake({"--window", "32"}, "--window");
  expect_mistake({"--subject", "anatomy"}, "subjects");
  expect_mistake({"--normalize", "byte"}, "normalize");
  expect_mistake({"--shots", "2"}, "shots_file");
  task_ = "perplexity";
  expect_mistake({"--limit", "3"}, "--limit");
  task_ = "mmlu";
  expect_mistake({}, "file");
  task_ = "choices";
  write_text_file(questions_, "{\"question\": \"a?\"}\n");
  expect_mistake({}, "questions.jsonl: line 1");
}

TEST_F(ChoiceTasks, AnExperimentComparesWithItsOriginal) {
  const nlohmann::json experiment = {{"model", model_},
                                     {"output", (folder_ / "runs").string()},
                                     {"methods",
                                      {{{"name", "rounding"}, {"quantizer", {{"method", "rtn"}, {"group_size", 16}}}},
                                       {{"name", "finer"}, {"quantizer", {{"method", "rtn"}, {"group_size", 8}}}}}},
                                     {"sizes", {{{"bits", 2}}}},
                                     {"tasks", {{{"task", "choices"}, {"file", questions_}, {"limit", 8}}}}};
  write_text_file(folder_ / "experiment.json", experiment.dump());
  const CommandResult result = run_lcomp({"run", folder_ / "experiment.json", "--json", "--quiet"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto rows = nlohmann::json::parse(result.out).at("rows");
  ASSERT_EQ(rows.size(), 3u);
  const auto& original = rows.at(0).at("scores").at("questions.jsonl");
  const auto& compressed = rows.at(1).at("scores").at("questions.jsonl");
  EXPECT_FALSE(original.contains("against_original"));
  const auto& against = compressed.at("against_original");
  EXPECT_EQ(against.at("questions"), compressed.at("choices").at("questions"));
  EXPECT_THAT(read_text_file(folder_ / "runs/table.md"), HasSubstr("questions.jsonl"));
  const CommandResult second = run_lcomp({"run", folder_ / "experiment.json", "--json", "--quiet"});
  EXPECT_EQ(nlohmann::json::parse(second.out).at("computed_cells"), 0);

  // Side by side: the two methods' answers, by McNemar's test.
  const CommandResult compared = run_lcomp({"compare", folder_ / "runs", "--within", "50", "--json"});
  ASSERT_EQ(compared.exit_code, 0) << compared.err;
  const auto models = nlohmann::json::parse(compared.out).at("groups")[0].at("models");
  ASSERT_EQ(models.size(), 2u);
  const auto tested = [&](std::size_t model) {
    return models[model].at("metrics").at("questions.jsonl").contains("p_value");
  };
  EXPECT_TRUE(tested(0) || tested(1) || models[0].at("metrics") == models[1].at("metrics"));
}

}  // namespace
}  // namespace lcomp
