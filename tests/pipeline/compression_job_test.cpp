#include "lcomp/pipeline/compression_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;

CompressionJob read(const nlohmann::json& json) { return CompressionJob::from_json(json, "job", ""); }
std::string refusal(const nlohmann::json& json) {
  return testing::message([&] { read(json); });
}

const nlohmann::json calibration_setting = {{"texts", {"a.txt"}}, {"sequences", 8}, {"order", "original"}};

TEST(CompressionJob, APlanAlone) {
  const CompressionJob job = read({{"quantizer", "rtn:bits=4"}});
  EXPECT_FALSE(job.learns());
  EXPECT_FALSE(job.uses_calibration());
  EXPECT_FALSE(job.calibration || job.learning || job.tuning || job.statistics);
  EXPECT_EQ(job.recalibrations, 0);
}

TEST(CompressionJob, CalibrationThatNothingUsesIsNotLookedAt) {
  EXPECT_FALSE(read({{"quantizer", "rtn:bits=4"}, {"calibration", {{"texts", 1}}}}).calibration);
}

TEST(CompressionJob, LearningTakesItsTextsFromTheCalibration) {
  const CompressionJob job = read({{"quantizer", "rate"},
                                   {"allocator", "learned"},
                                   {"target", {{"ratio", 5}}},
                                   {"calibration", calibration_setting},
                                   {"learning", {{"sequences", 4}, {"held_out", 2}}}});
  ASSERT_TRUE(job.learning);
  EXPECT_EQ(job.learning->skip, 8U);
  EXPECT_EQ(job.learning->texts.sequences, 8U + 4 + 2);
  EXPECT_EQ(job.learning->texts.files.front(), "a.txt");
}

TEST(CompressionJob, WrongKeysAreNamed) {
  EXPECT_THAT(refusal({{"quantizer", "rtn:bits=4"}, {"alocator", "fixed"}}), HasSubstr("alocator"));
  EXPECT_THAT(refusal({{"quantizer", "gptq:bits=4"}, {"calibration", {{"texts", {"a"}}, {"sequence", 1}}}}),
              HasSubstr("job: calibration"));
  EXPECT_THAT(refusal({{"quantizer", "rtn:bits=4"}, {"tune", {{"texts", {"a"}}, {"rounds", 2}}}}),
              HasSubstr("job: tune"));
  const nlohmann::json tuning = {{"texts", {"a"}}};
  EXPECT_TRUE(read({{"quantizer", "rtn:bits=4"}, {"repair", tuning}}).tuning) << "its older name";
  EXPECT_THAT(refusal({{"quantizer", "rtn:bits=4"}, {"repair", tuning}, {"tune", tuning}}), HasSubstr("older name"));
  EXPECT_THAT(refusal({{"quantizer", "rtn:bits=4"}, {"recalibrations", 9}}), HasSubstr("recalibrations"));
}

TEST(CompressionJob, RecalibrationsNeedStatisticsOfTheOriginal) {
  EXPECT_THAT(refusal({{"quantizer", "rtn:bits=4"}, {"recalibrations", 1}}), HasSubstr("uses no statistics"));
  EXPECT_THAT(refusal({{"quantizer", "gptq:bits=4"}, {"recalibrations", 1}}), HasSubstr("no texts"));
  nlohmann::json by_block = calibration_setting;
  by_block["order"] = "block";
  EXPECT_THAT(refusal({{"quantizer", "gptq:bits=4"}, {"recalibrations", 1}, {"calibration", by_block}}),
              HasSubstr("\"order\": \"original\""));
  EXPECT_EQ(
      read({{"quantizer", "gptq:bits=4"}, {"recalibrations", 1}, {"calibration", calibration_setting}}).recalibrations,
      1);
}

TEST(CompressionJob, WhatDecidesValuesIsDescribed) {
  const auto description = [](nlohmann::json changed) {
    nlohmann::json json = calibration_setting;
    json.update(changed);
    return describe(CalibrationSetting::from_json(json, "calibration", ""));
  };
  const std::string first = description(nlohmann::json::object());
  EXPECT_EQ(description({{"memory", 1000}}), first) << "memory decides nothing";
  EXPECT_NE(description({{"seed", 1}}), first);
  EXPECT_NE(description({{"order", "block"}}), first);
  EXPECT_NE(description({{"sensitivity", "divergence"}}), first);
  EXPECT_NE(description({{"bos", false}}), first);
}

}  // namespace
}  // namespace lcomp
