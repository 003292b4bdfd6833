#include "lcomp/pipeline/run_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "experiments/small_model.h"
#include "lcomp/io/atomic_file.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;

struct Killed : std::exception {};

class RunJob : public ::testing::Test {
 protected:
  void SetUp() override {
    LCOMP_REQUIRE(testing::golden("families/llama-tied"));
    model_ = open_model(testing::copy_small_model(folder_ / "model"));
    testing::write_small_text(folder_ / "text.txt");
  }

  CompressionJob job(nlohmann::json setting, const std::string& order = "original") const {
    setting["calibration"] = {{"texts", {folder_ / "text.txt"}}, {"sequences", 6}, {"tokens", 48}, {"order", order}};
    if (order == "original") setting["calibration"]["sensitivity"] = "divergence";
    return CompressionJob::from_json(setting, "job", "");
  }
  // end: the progress event at which the process dies.
  JobOutcome run(const CompressionJob& job, const std::string& out, std::optional<std::size_t> end = {},
                 bool replace = false) const {
    JobPlaces places;
    places.out = folder_ / out;
    places.replace = replace;
    events_ = 0;
    return run_job(job, model_, places, [&](const ProgressEvent&) {
      if (events_++ == end) throw Killed();
    });
  }
  std::string weights(const std::string& out) const { return read_text_file(folder_ / out / "model.safetensors"); }

  testing::TemporaryFolder folder_;
  ModelFolder model_;
  mutable std::size_t events_ = 0;  // of the last run
};

TEST_F(RunJob, WithoutCalibrationNothingIsKept) {
  const JobOutcome outcome = run(job({{"quantizer", "rtn:bits=4,group=16"}}), "out");
  EXPECT_EQ(outcome.report.bytes, open_model(folder_ / "out").stored_bytes());
  EXPECT_TRUE(outcome.calibration.is_null());
  EXPECT_FALSE(outcome.unfinished);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.unfinished"));
}

TEST_F(RunJob, GathersItsStatistics) {
  const JobOutcome outcome = run(job({{"quantizer", "rate"}, {"target", {{"ratio", 4}}}}), "out");
  EXPECT_LE(outcome.report.bytes, 2 * model_.parameters() / 4);
  EXPECT_EQ(outcome.calibration.at("sensitivity"), "divergence");
  outcome.unfinished.clear();
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.unfinished"));
}

TEST_F(RunJob, GoesOnWhereItWasKilled) {
  for (const char* order : {"block", "original"}) {
    const CompressionJob compression = job({{"quantizer", "gptq:bits=3,group=16"}}, order);
    run(compression, std::string("whole ") + order);
    for (const std::size_t end : {1U, 9U}) {
      const std::string out = order + std::to_string(end);
      EXPECT_THROW(run(compression, out, end), Killed);
      run(compression, out);
      EXPECT_TRUE(weights(out) == weights(std::string("whole ") + order)) << out;
    }
  }
}

TEST_F(RunJob, UnfinishedWorkOfAnotherSettingIsRefusedOrReplaced) {
  for (const char* order : {"block", "original"}) {
    const std::string out = order;
    const CompressionJob first = job({{"quantizer", "gptq:bits=3,group=16"}}, order);
    run(first, out + " whole");
    EXPECT_THROW(run(first, out, events_ - 3), Killed);  // statistics are there
    const CompressionJob other = job({{"quantizer", "gptq:bits=4,group=16"}}, order);
    EXPECT_THAT(testing::message([&] { run(other, out); }), HasSubstr("the unfinished work of another compression"));
    run(other, out, {}, true);
    EXPECT_TRUE(std::filesystem::exists(folder_ / out));
  }
}

TEST_F(RunJob, AModelThatIsThereIsFoundBeforeTheWork) {
  run(job({{"quantizer", "rtn:bits=4,group=16"}}), "out");
  EXPECT_THAT(testing::message([&] {
                run(job({{"quantizer", "rtn:bits=3,group=16"}}), "out", 0);
              }),
              HasSubstr("a model that exists already"));
}

}  // namespace
}  // namespace lcomp
