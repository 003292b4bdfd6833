// compress_learned() on a small model, with the statistics that calibration gathers.
#include "lcomp/compression/learned_allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "lcomp/calibration/calibrate.h"
#include "lcomp/calibration/compression_statistics.h"
#include "lcomp/calibration/sensitivity.h"
#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "support/error_message.h"
#include "tiny_model.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct Killed {};

struct SlowLearnedAllocation : ::testing::Test {
  testing::TemporaryFolder folder;
  ModelFolder model;
  nlohmann::json plan = {{"quantizer", "rate"}, {"target", {{"bits_per_weight", 4}}}, {"allocator", "learned"}};
  int rounds = 4;
  double rate = 0.7;
  std::size_t words = 0;  // in the texts to learn from; 0: all

  void SetUp() override {
    LCOMP_REQUIRE(testing::tiny_model());
    model = open_model(testing::tiny_model());
    const TokenBatch tokens = testing::random_tokens(200, model.config.vocab_size);
    Decoder decoder(model);
    calibrate(decoder, tokens, folder / "statistics");
    add_sensitivities(decoder, tokens, folder / "statistics");
  }

  LearningOptions learning() const {
    Decoder original(model);
    LearningOptions options;
    for (const std::uint64_t seed : {5, 7}) {
      options.training.push_back(divergence_task(
          original, testing::random_tokens(300, words > 0 ? words : model.config.vocab_size, seed), 64));
    }
    options.validation = divergence_task(original, testing::random_tokens(600, model.config.vocab_size, 6), 64);
    options.description = "random tokens";
    options.rounds = rounds;
    options.rate = rate;
    return options;
  }

  // end: the progress event at which the process dies.
  LearnedCompression compress(const std::string& out, std::optional<std::size_t> end = {}, bool replace = false) const {
    CompressOptions options;
    options.statistics =
        archived_statistics(model, CalibrationArchive::open(folder / "statistics"), SensitivityCost::divergence);
    options.work = Workspace(folder / (out + ".work"), "key", replace ? OtherWork::discard : OtherWork::refuse);
    options.replace = replace;
    std::size_t events = 0;
    return compress_learned(model, CompressionPlan::from_json(plan, "plan"), folder / out, options, learning(),
                            [&](const ProgressEvent&) {
                              if (end && events++ == *end) throw Killed();
                            });
  }

  double cost(const std::string& out) const {
    Decoder decoder(open_model(folder / out));
    return evaluate(decoder, learning().validation);
  }
};

TEST_F(SlowLearnedAllocation, CostsLessThanItsStart) {
  // The start is made bad, so that there is much to learn.
  plan["components"] = {{"*.q_proj", {{"offset", 2.0}}}, {"*.down_proj", {{"offset", -1.5}}}};
  const LearnedCompression learned = compress("learned");
  ASSERT_GE(learned.rounds.size(), 2U);
  EXPECT_GT(learned.best, 0U);
  EXPECT_LT(learned.rounds[learned.best].validation_cost, 0.9 * learned.rounds[0].validation_cost);
  ASSERT_TRUE(learned.rounds[0].multiplier_spread && learned.rounds[1].multiplier_spread);
  EXPECT_LT(*learned.rounds[1].multiplier_spread, *learned.rounds[0].multiplier_spread);
  EXPECT_FALSE(learned.rounds.back().multiplier_spread) << "no round follows";
  EXPECT_LE(learned.report.bits_per_weight, 4);
  EXPECT_GT(learned.report.bits_per_weight, 3.92);
  EXPECT_NEAR(cost("learned"), learned.rounds[learned.best].validation_cost, 1e-6) << "the best round is what is kept";
  EXPECT_LT(learned.plan.components.at("model.layers.0.self_attn.q_proj").at("offset").get<double>(), 1.5);
  EXPECT_GT(learned.plan.components.at("model.layers.0.mlp.down_proj").at("offset").get<double>(), -1.0);
}

// A step that was too far is halved, once; then learning ends.
TEST_F(SlowLearnedAllocation, HalvesAStepThatMissed) {
  rounds = 6;
  rate = 6;
  const LearnedCompression learned = compress("learned");
  const std::vector<LearningRound>& of = learned.rounds;
  ASSERT_GE(of.size(), 3U);
  ASSERT_GT(of[1].validation_cost, of[0].validation_cost);
  EXPECT_FALSE(of[1].multiplier_spread);
  double moved = 0;
  for (const auto& [name, start] : of[0].steps) {
    const LearnedSteps &far = of[1].steps.at(name), &half = of[2].steps.at(name);
    EXPECT_NEAR(half.offset, 0.5 * (start.offset + far.offset), 1e-12) << name;
    if (start.row_exponent) {
      EXPECT_NEAR(*half.row_exponent, 0.5 * (*start.row_exponent + *far.row_exponent), 1e-12) << name;
    }
    moved = std::max(moved, std::abs(far.offset - start.offset));
  }
  EXPECT_GT(moved, 1);
  if (of[2].validation_cost >= of[0].validation_cost) {
    EXPECT_EQ(of.size(), 3U);
    EXPECT_EQ(learned.best, 0U);
  } else {
    EXPECT_GT(of.size(), 3U);
  }
  EXPECT_LE(of.size() - 1 - learned.best, 2U);
}

// Half of a fifth of the vocabulary in the texts: half a step.
TEST_F(SlowLearnedAllocation, AnEmbeddingMovesByWhatTheTextsKnowOfIt) {
  rounds = 2;
  const auto moved = [&](const std::string& out) {
    const LearnedCompression learned = compress(out);
    const LearnedSteps &before = learned.rounds[0].steps.at("model.embed_tokens"),
                       &after = learned.rounds[1].steps.at("model.embed_tokens");
    EXPECT_NE(after.column_exponent, before.column_exponent);
    EXPECT_EQ(after.row_exponent == before.row_exponent, words > 0) << "of rows that the texts lack they say nothing";
    return after.offset;
  };
  const double of_all_words = moved("of all words");
  words = model.config.vocab_size / 5;
  const double all = moved("all");
  words = model.config.vocab_size / 10;
  const double some = moved("some");
  ASSERT_NE(of_all_words, 0);
  ASSERT_NE(all, 0);
  // Texts of fewer words have another gradient, but not one of half the size.
  EXPECT_GT(some / all, 0.2);
  EXPECT_LT(some / all, 0.8);
}

TEST_F(SlowLearnedAllocation, ThePlanMakesTheSameModelAgain) {
  rounds = 2;
  const LearnedCompression learned = compress("learned");
  EXPECT_EQ(name(learned.plan.allocation), "second_order");
  CompressOptions options;
  options.statistics =
      archived_statistics(model, CalibrationArchive::open(folder / "statistics"), SensitivityCost::divergence);
  const auto again = CompressionPlan::from_json(to_json(learned.plan), "plan");
  compress_model(model, again, folder / "again", options);
  EXPECT_TRUE(read_text_file(folder / "again" / "model.safetensors") ==
              read_text_file(folder / "learned" / "model.safetensors"));
}

TEST_F(SlowLearnedAllocation, KilledItGoesOnToTheSameBytes) {
  rounds = 2;
  const LearnedCompression whole = compress("whole");
  for (const std::size_t end : {10U, 45U, 80U, 110U}) {
    const std::string out = "out" + std::to_string(end);
    EXPECT_THROW(compress(out, end), Killed) << end;
    EXPECT_FALSE(fs::exists(folder / out));
    const LearnedCompression resumed = compress(out);
    EXPECT_EQ(to_json(resumed.rounds), to_json(whole.rounds));
    EXPECT_TRUE(read_text_file(folder / out / "model.safetensors") ==
                read_text_file(folder / "whole" / "model.safetensors"));
  }
}

TEST_F(SlowLearnedAllocation, RoundsOfOtherArgumentsAreRefusedOrReplaced) {
  rounds = 1;
  compress("out");
  plan["target"] = {{"bits_per_weight", 5}};
  EXPECT_THAT(testing::message([&] { compress("out"); }), HasSubstr("unfinished work of another"));
  EXPECT_GT(compress("out", {}, true).report.bits_per_weight, 4.5);
}

TEST_F(SlowLearnedAllocation, RefusesWhatItCantLearn) {
  const auto refuses = [&](const nlohmann::json& change, const char* text) {
    nlohmann::json changed = plan;
    changed.merge_patch(change);
    std::swap(plan, changed);
    EXPECT_THAT(testing::message([&] { compress("refused"); }), HasSubstr(text)) << change;
    std::swap(plan, changed);
  };
  refuses({{"quantizer", "rtn:group=16"}}, "fixed width");
  refuses({{"quantizer", "rate:precision=9"}, {"target", nullptr}}, "without a target");
  refuses({{"quantizer", "rate:precision=9"}}, "no component's precision is open");
  const auto parsed = CompressionPlan::from_json(plan, "plan");
  EXPECT_THROW(compress_model(model, parsed, folder / "out"), Error) << "without texts";
}

TEST(DivergenceTaskTest, TheOriginalCostsNothing) {
  LCOMP_REQUIRE(testing::tiny_model());
  Decoder original(open_model(testing::tiny_model()));
  const std::size_t vocabulary = original.config().vocab_size;
  const LearningTask task = divergence_task(original, testing::random_tokens(300, vocabulary), 16);
  EXPECT_NEAR(evaluate(original, task), 0, 1e-6);
}

}  // namespace
}  // namespace lcomp
