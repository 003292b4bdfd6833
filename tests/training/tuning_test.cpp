// tune_model() on a small model that was compressed with statistics.
#include "lcomp/training/tuning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "calibration/tiny_model.h"
#include "lcomp/calibration/calibrate.h"
#include "lcomp/calibration/compression_statistics.h"
#include "lcomp/calibration/sensitivity.h"
#include "lcomp/core/error.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/rate_coded.h"
#include "lcomp/io/atomic_file.h"
#include "support/error_message.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct Killed {};

struct SlowTuning : ::testing::Test {
  testing::TemporaryFolder folder;
  ModelFolder model;
  int steps = 8;

  void SetUp() override {
    LCOMP_REQUIRE(testing::tiny_model());
    model = open_model(testing::tiny_model());
  }

  std::uint64_t compress_to(const std::string& name, double bits) {
    compress({{"quantizer", "rate"}, {"target", {{"bits_per_weight", bits}}}}, name);
    return open_model(folder / name).stored_bytes();
  }

  void compress(const nlohmann::json& plan, const std::string& name = "compressed") {
    const TokenBatch tokens = testing::random_tokens(200, model.config.vocab_size);
    Decoder decoder(model);
    if (!fs::exists(folder / "statistics")) {
      calibrate(decoder, tokens, folder / "statistics");
      add_sensitivities(decoder, tokens, folder / "statistics");
    }
    CompressOptions options;
    options.statistics =
        archived_statistics(model, CalibrationArchive::open(folder / "statistics"), SensitivityCost::divergence);
    compress_model(model, CompressionPlan::from_json(plan, "plan"), folder / name, options);
  }

  TuningOptions options() const {
    Decoder original(model);
    TuningOptions tuning;
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      tuning.training.push_back(
          divergence_task(original, testing::random_tokens(300, model.config.vocab_size, 10 + seed), 64));
    }
    tuning.held_out = divergence_task(original, testing::random_tokens(600, model.config.vocab_size, 6), 64);
    tuning.description = "random tokens";
    tuning.steps = steps;
    tuning.evaluate_every = 2;
    tuning.rate = 0.01;
    return tuning;
  }

  double cost(const std::string& name) const {
    Decoder decoder(open_model(folder / name));
    return evaluate(decoder, options().held_out);
  }
};

const nlohmann::json rate_coded = {{"quantizer", "rate"}, {"target", {{"bits_per_weight", 3}}}};

TEST_F(SlowTuning, LowersTheCostAndKeepsTheCodes) {
  compress(rate_coded);
  steps = 16;
  const ModelFolder compressed = open_model(folder / "compressed");
  const TuningReport report = tune_model(compressed, folder / "tuned", options());
  ASSERT_EQ(report.points.size(), 9U);
  EXPECT_LT(cost("tuned"), 0.95 * cost("compressed"));
  double least = report.points.front().held_out_cost;
  for (const TuningPoint& point : report.points) least = std::min(least, point.held_out_cost);
  EXPECT_NEAR(cost("tuned"), least, 0.02 * least) << "rounded to what is stored";

  const CompressedFolder before(folder / "compressed"), after(folder / "tuned");
  EXPECT_EQ(after.payload_bytes(), report.bytes);
  EXPECT_LT(report.bytes, before.payload_bytes() + 2 * expected_tuning_bytes(model));
  std::size_t with_gains = 0;
  for (const TensorInfo& info : before.tensors()) {
    const auto* old = std::get_if<RateCodedView>(&before.weight(info.name));
    if (old == nullptr) continue;
    const auto& now = std::get<RateCodedView>(after.weight(info.name));
    EXPECT_TRUE(std::ranges::equal(old->codes, now.codes)) << info.name;
    if (now.row_gains) ++with_gains;
    if (info.name.find("embed") != std::string::npos) {
      EXPECT_FALSE(now.row_gains);
    }
  }
  EXPECT_GT(with_gains, 10U);
  EXPECT_TRUE(after.config().at("quantization_config").contains("repair"));
}

// Where no rate is given it goes with the root of the cost, up to a largest one.
TEST_F(SlowTuning, FindsARateOfItsOwn) {
  steps = 2;
  const auto rate_of = [&](double bits) {
    fs::remove_all(folder / "compressed");
    compress({{"quantizer", "rate"}, {"target", {{"bits_per_weight", bits}}}});
    TuningOptions tuning = options();
    tuning.rate.reset();
    tuning.replace = true;
    const TuningReport report = tune_model(open_model(folder / "compressed"), folder / "tuned", tuning);
    EXPECT_NEAR(report.rate, std::min(0.002, 0.0037 * std::sqrt(report.points.front().held_out_cost)), 1e-12);
    return report.rate;
  };
  const double fine = rate_of(8), coarse = rate_of(4);
  EXPECT_GT(fine, 0);
  EXPECT_LT(fine, coarse);
}

TEST_F(SlowTuning, StaysWithinTheBudget) {
  compress(rate_coded);
  const ModelFolder compressed = open_model(folder / "compressed");
  TuningOptions tuning = options();
  const std::uint64_t full = tune_model(compressed, folder / "full", options()).bytes;
  const std::uint64_t before = compressed.stored_bytes();
  for (const std::uint64_t budget : {full - 1, (full + before) / 2, before}) {
    tuning.budget = budget;
    const std::string out = "within" + std::to_string(budget);
    EXPECT_LE(tune_model(compressed, folder / out, tuning).bytes, budget);
    EXPECT_LE(open_model(folder / out).stored_bytes(), budget);
  }
}

// The codes are made again where the factors leave much of the budget, and taken where they are better.
TEST_F(SlowTuning, FillsTheBudget) {
  compress(rate_coded);
  const ModelFolder compressed = open_model(folder / "compressed");
  TuningOptions tuning = options();
  const TuningReport plain = tune_model(compressed, folder / "plain", options());
  const std::uint64_t before = compressed.stored_bytes();
  std::vector<std::uint64_t> asked;
  const auto refilled = [&](std::uint64_t budget, const char* codes) {
    asked.clear();
    tuning.budget = budget;
    tuning.replace = true;
    tuning.compress_again = [&](std::uint64_t reserved) {
      asked.push_back(reserved);
      return open_model(folder / codes);
    };
    return tune_model(compressed, folder / "filled", tuning);
  };
  EXPECT_FALSE(refilled(plain.bytes, "compressed").recompressed);
  EXPECT_TRUE(asked.empty()) << "filled already";

  const std::uint64_t spare = before / 10;
  const TuningReport same = refilled(plain.bytes + spare, "compressed");
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_GE(asked[0], plain.bytes - before);
  EXPECT_LE(asked[0], plain.bytes - before + 100);
  EXPECT_TRUE(same.recompressed);
  EXPECT_NEAR(*same.recompressed_cost, same.points.back().held_out_cost, 0.05 * same.points.back().held_out_cost);
  EXPECT_EQ(to_json(same).at("recompressed_cost"), *same.recompressed_cost);
  EXPECT_EQ(same.bytes, plain.bytes);

  const std::uint64_t fine = compress_to("fine", 3.25), coarse = compress_to("coarse", 2.5);
  const TuningReport better = refilled(fine + 2 * (plain.bytes - before), "fine");
  EXPECT_TRUE(better.recompressed);
  EXPECT_LT(cost("filled"), cost("plain"));
  EXPECT_GT(better.bytes, fine);
  EXPECT_EQ(better.bytes, open_model(folder / "filled").stored_bytes());
  EXPECT_EQ(better.step, plain.step);

  ASSERT_LT(coarse, before);
  const TuningReport worse = refilled(plain.bytes + spare, "coarse");
  EXPECT_FALSE(worse.recompressed);
  EXPECT_GT(*worse.recompressed_cost, cost("plain"));
  EXPECT_TRUE(read_text_file(folder / "filled" / "model.safetensors") ==
              read_text_file(folder / "plain" / "model.safetensors"));

  tuning.rate = 0.9;  // no step is kept
  tuning.steps = 2;
  const TuningReport unchanged = refilled(fine + 10, "fine");
  EXPECT_EQ(unchanged.step, 0);
  EXPECT_EQ(asked, std::vector<std::uint64_t>{0});
  EXPECT_EQ(unchanged.bytes, fine);
  EXPECT_FALSE(unchanged.recompressed_cost);
}

TEST_F(SlowTuning, TrainsVectorsAloneWhereCodesHaveNoFactors) {
  compress({{"quantizer", "rtn:bits=3,group=16"}});
  const ModelFolder compressed = open_model(folder / "compressed");
  const TuningReport report = tune_model(compressed, folder / "tuned", options());
  EXPECT_EQ(report.bytes, compressed.stored_bytes());
  EXPECT_LT(cost("tuned"), cost("compressed"));
}

TEST_F(SlowTuning, KilledItGoesOnToTheSameBytes) {
  compress(rate_coded);
  const ModelFolder compressed = open_model(folder / "compressed");
  tune_model(compressed, folder / "whole", options());
  for (const std::size_t end : {0U, 3U, 7U}) {
    TuningOptions tuning = options();
    tuning.work = Workspace(folder / ("work" + std::to_string(end)), "");
    const std::string out = "out" + std::to_string(end);
    std::size_t events = 0;
    EXPECT_THROW(tune_model(compressed, folder / out, tuning,
                            [&](const ProgressEvent&) {
                              if (events++ == end) throw Killed();
                            }),
                 Killed);
    EXPECT_FALSE(fs::exists(folder / out));
    std::size_t left = 0;
    tune_model(compressed, folder / out, tuning, [&](const ProgressEvent&) { ++left; });
    EXPECT_LE(left, 11 - end / 2 * 2);
    EXPECT_TRUE(read_text_file(folder / out / "model.safetensors") ==
                read_text_file(folder / "whole" / "model.safetensors"))
        << end;
  }
}

TEST_F(SlowTuning, RefusesWhatItCantTune) {
  const auto refuses = [&](const ModelFolder& what, const TuningOptions& how, const char* text) {
    EXPECT_THAT(testing::message([&] { tune_model(what, folder / "refused", how); }), HasSubstr(text)) << text;
  };
  refuses(model, options(), "not compressed");
  compress({{"quantizer", "rtn:bits=3,group=16"}});
  TuningOptions none = options();
  none.training.clear();
  refuses(open_model(folder / "compressed"), none, "0 tasks");
  TuningOptions wild = options();
  wild.rate = 1e30;
  refuses(open_model(folder / "compressed"), wild, "tuning, step");
}

}  // namespace
}  // namespace lcomp
