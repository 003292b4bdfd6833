#include "report/run_comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "experiments/command_line.h"
#include "experiments/recorded_experiment.h"
#include "lcomp/core/error.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message;
using testing::recorded_metrics;
using testing::run_lcomp;
using testing::write_record;
using Verdict = MetricStanding::Verdict;

struct Comparison : ::testing::Test {
  testing::TemporaryFolder folder;
  RecordedRun record(const std::string& name, const nlohmann::json& metrics) const {
    return read_recorded_run(write_record(folder / name, metrics));
  }
};

TEST_F(Comparison, FindsTheBestAndWhatCantBeToldFromIt) {
  const RunComparison comparison = compare_runs({record("one", recorded_metrics("one"))}, 0.05);
  ASSERT_EQ(comparison.metrics.size(), 2u);  // perplexity and KL
  ASSERT_EQ(comparison.groups.size(), 1u);
  const auto& models = comparison.groups[0].models;
  ASSERT_EQ(models.size(), 3u);
  const auto& kl = [&](std::size_t model) { return models[model].standings[1]; };
  EXPECT_TRUE(kl(0).best);
  EXPECT_FALSE(kl(1).best);
  EXPECT_EQ(kl(1).verdict, Verdict::same);
  EXPECT_EQ(kl(1).pairs, 6u);
  EXPECT_EQ(kl(2).verdict, Verdict::worse);
  // c - a = 0.2, 0.23, 0.21, 0.21, 0.23, 0.21: mean 0.215.
  EXPECT_NEAR(kl(2).difference, 0.215, 1e-12);
  EXPECT_GT(kl(2).low, 0.2);
  EXPECT_LT(kl(2).high, 0.23);
  EXPECT_NEAR(models[2].larger_percent, 2.4, 1e-9);
  EXPECT_THAT(comparison.notes, ::testing::ElementsAre(HasSubstr("a, 2 bits"), HasSubstr("differ by 2.4 %")));

  const std::string markdown = comparison_markdown(comparison);
  EXPECT_THAT(markdown,
              AllOf(HasSubstr("**0.1133**"), HasSubstr("0.1158 ="), HasSubstr("c \\| x"), HasSubstr("+2.40 %")));
  EXPECT_THAT(comparison_latex(comparison), AllOf(HasSubstr("\\textbf{0.1133}"), HasSubstr("c \\textbar{} x")));
  EXPECT_THAT(comparison_csv(comparison), HasSubstr("text KL mean standing"));
  const nlohmann::json json = to_json(comparison);
  const auto& entry = json.at("groups")[0].at("models")[2].at("metrics").at("text KL mean");
  EXPECT_EQ(entry.at("standing"), "worse");
  EXPECT_EQ(entry.at("interval").size(), 2u);
}

TEST(MetricError, IsThatOfTheMeanOverSequences) {
  RecordedRow row;
  row.scores["text"] = testing::text_score({1, 2, 3, 6}, {0.1, 0.2, 0.3, 0.2});
  row.scores["questions"] = {{"choices", {{"accuracy", 0.5}, {"standard_error", 0.03}}}};
  // Squares of the deviations from 0.2: 0.01, 0, 0.01, 0; from 3: 4, 1, 0, 9.
  EXPECT_NEAR(metric_error(row, {Metric::Kind::kl, "text", ""}), std::sqrt(0.02 / 3 / 4), 1e-12);
  EXPECT_NEAR(metric_error(row, {Metric::Kind::perplexity, "text", ""}), std::exp(3.0) * std::sqrt(14.0 / 3 / 4), 1e-9);
  EXPECT_EQ(metric_error(row, {Metric::Kind::accuracy, "questions", ""}), 0.03);
  row.scores["text"]["kl"].erase("kl_per_sequence");  // a record of an earlier version
  EXPECT_EQ(metric_error(row, {Metric::Kind::kl, "text", ""}), 0);
}

TEST_F(Comparison, FewTextsAreNotTested) {
  nlohmann::json metrics = recorded_metrics("one");
  for (auto& row : metrics["rows"]) {
    auto& nll = row["scores"]["text"]["perplexity"]["nll_per_sequence"];
    nll.erase(4);
    nll.erase(4);
  }
  const RunComparison comparison = compare_runs({record("one", metrics)}, 0.05);
  EXPECT_EQ(comparison.groups[0].models[2].standings[0].verdict, Verdict::untested);
  EXPECT_THAT(comparison_markdown(comparison), HasSubstr(" ?"));
}

TEST_F(Comparison, RunsOfOneOriginalStandSideBySide) {
  const RunComparison comparison =
      compare_runs({record("one", recorded_metrics("one")), record("two", recorded_metrics("two"))}, 0.001);
  ASSERT_EQ(comparison.groups.size(), 4u);
  EXPECT_EQ(comparison.groups.back().models[0].name, "one: a");
  EXPECT_EQ(comparison.groups.back().models[1].name, "two: a");
  EXPECT_TRUE(comparison.groups.back().models[1].standings[0].best) << "equal numbers are both best";
}

TEST_F(Comparison, OtherOriginalsProtocolsAndTextsAreRefused) {
  const RecordedRun one = record("one", recorded_metrics("one"));
  const auto refusal = [&](const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json metrics = recorded_metrics("two");
    change(metrics);
    return message([&] { compare_runs({one, record("two", metrics)}, 0.05); });
  };
  EXPECT_EQ(refusal([](auto&) {}), "no error");
  EXPECT_THAT(refusal([](auto& m) { m["model_hash"] = "89ab"; }), HasSubstr("different originals"));
  EXPECT_THAT(refusal([](auto& m) { m["tasks"][0]["protocol"]["window"] = 1024; }),
              AllOf(HasSubstr("different protocols of text"), HasSubstr("window 512 and 1024")));
  EXPECT_THAT(refusal([](auto& m) { m["tasks"][0]["key"] = "89ab"; }), HasSubstr("different texts or tokenizers"));
  EXPECT_THAT(refusal([](auto& m) {
                m["tasks"][0]["key"] = "89ab";
                m["rows"][0]["scores"]["text"]["compute"] = "bfloat16";
              }),
              HasSubstr("float32 and bfloat16"));
  EXPECT_THAT(refusal([](auto& m) {
                m["tasks"][0]["name"] = "other";
                for (auto& row : m["rows"]) row["scores"]["other"] = row["scores"]["text"];
              }),
              HasSubstr("no task of the same name"));
  // Records of earlier versions, without hashes.
  EXPECT_EQ(refusal([](auto& m) {
              m.erase("model_hash");
              m["tasks"][0].erase("key");
            }),
            "no error");
  EXPECT_THAT(refusal([](auto& m) {
                m.erase("model_hash");
                m["rows"][0]["bytes"] = 2002;
              }),
              HasSubstr("different originals"));
  EXPECT_THAT(refusal([](auto& m) {
                m["tasks"][0].erase("key");
                m["rows"][0]["scores"]["text"]["perplexity"]["perplexity"] = 10.0;
              }),
              HasSubstr("different texts"));
}

TEST_F(Comparison, TheCommandWritesFourFilesAndRefusesInOneLine) {
  const std::string one = write_record(folder / "one", recorded_metrics("one"));
  const std::string out = folder / "out/deeper";
  const auto result = run_lcomp({"compare", one, one, "--out", out, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out).at("groups")[0].at("models").size(), 6u);
  for (const char* name : {"comparison.md", "comparison.csv", "comparison.tex", "comparison.json"}) {
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(out) / name)) << name;
  }
  const auto refused = [&](const std::string& run, const std::string& part) {
    const auto mistake = run_lcomp({"compare", run});
    EXPECT_EQ(mistake.exit_code, 2);
    EXPECT_THAT(mistake.err, HasSubstr(part));
    EXPECT_EQ(std::count(mistake.err.begin(), mistake.err.end(), '\n'), 1) << mistake.err;
  };
  refused(folder / "nothing", "no metrics.json");
  refused(write_record(folder / "list", nlohmann::json::array()), "what lcomp run writes");
  nlohmann::json unfinished = recorded_metrics("unfinished");
  unfinished["rows"] = nlohmann::json::array();
  refused(write_record(folder / "unfinished", unfinished), "no scores of the original yet");
}

}  // namespace
}  // namespace lcomp
