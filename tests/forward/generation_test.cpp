#include "lcomp/forward/generation.h"

#include <gtest/gtest.h>

#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/models/model_folder.h"
#include "support/golden_model.h"

namespace lcomp {
namespace {

using testing::golden;

struct FamilyGeneration : ::testing::TestWithParam<const char*> {
  std::filesystem::path folder() const { return golden(std::string("families/") + GetParam()); }
};

// The reference decoded with its own cache; its smallest margin between the best two logits is far above rounding.
TEST_P(FamilyGeneration, GreedyTokensAreTheReferences) {
  LCOMP_REQUIRE(folder());
  Decoder decoder(open_model(folder()));
  for (const auto& [file, prompt_length] : {std::pair{"io.safetensors", 8}, {"io_long.safetensors", 36}}) {
    if (!std::filesystem::exists(folder() / file)) continue;
    const SafetensorsFile io(folder() / file);
    std::vector<std::int32_t> prompt = testing::read_ids(io, "input_ids");
    prompt.resize(static_cast<std::size_t>(prompt_length));
    GenerationSession session(decoder);
    GenerationOptions options;
    options.max_tokens = 16;
    Rng rng(1);
    EXPECT_EQ(generate(session, prompt, options, rng), testing::read_ids(io, "greedy_ids")) << file;
  }
}

TEST_P(FamilyGeneration, TokenByTokenEqualsTheFullForward) {
  LCOMP_REQUIRE(folder());
  Decoder decoder(open_model(folder()));
  const SafetensorsFile io(folder() / "io.safetensors");
  const std::vector<std::int32_t> ids = testing::read_ids(io, "input_ids");
  const std::size_t length = io.entry("input_ids").shape[1];
  const Matrix expected = testing::read_matrix(io, "logits", decoder.config().vocab_size);
  GenerationSession session(decoder);
  for (std::size_t t = 0; t < length; ++t) {
    const std::span<const float> logits = session.append({&ids[t], 1});
    EXPECT_LT(testing::relative_difference({logits.data(), 1, logits.size()}, expected.view().rows_range(t, 1)), 2e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyGeneration, ::testing::ValuesIn(testing::golden_families),
                         testing::golden_family_name);

TEST(GenerationSession, PiecesOfAnySizeEqualTheFullForward) {
  LCOMP_REQUIRE(golden("families/llama3"));
  Decoder decoder(open_model(golden("families/llama3")));
  Rng rng(3);
  std::vector<std::int32_t> ids(700);  // more than a chunk
  for (auto& id : ids) id = static_cast<std::int32_t>(rng.below(decoder.config().vocab_size));
  TokenBatch batch;
  batch.add(ids);
  const Matrix normed = decoder.forward(batch);
  Matrix logits(1, decoder.config().vocab_size);
  GenerationSession session(decoder);
  std::size_t at = 0;
  for (const std::size_t size : {1, 63, 1, 64, 2, 513, 55, 1}) {
    const std::span<const float> found = session.append(std::span(ids).subspan(at, size));
    at += size;
    decoder.logits(normed.view().rows_range(at - 1, 1), logits.view());
    EXPECT_LT(testing::relative_difference({found.data(), 1, found.size()}, logits.view()), 1e-5) << at;
  }
  EXPECT_EQ(at, ids.size());
}

// Keys cached under longrope's short factors are of no use past position 32: the session must compute them anew.
TEST(GenerationSession, CrossingTheOriginalContextOfLongropeChangesAllFactors) {
  LCOMP_REQUIRE(golden("families/phi3-longrope"));
  Decoder decoder(open_model(golden("families/phi3-longrope")));
  const SafetensorsFile io(golden("families/phi3-longrope/io_long.safetensors"));
  const std::vector<std::int32_t> ids = testing::read_ids(io, "input_ids");
  const Matrix expected = testing::read_matrix(io, "logits", decoder.config().vocab_size);
  GenerationSession session(decoder);
  session.append(std::span(ids).first(30));
  session.append(std::span(ids).subspan(30, 10));
  const std::span<const float> logits = session.append(std::span(ids).subspan(40, 8));
  EXPECT_EQ(session.length(), 48u);
  EXPECT_LT(testing::relative_difference({logits.data(), 1, logits.size()}, expected.view().rows_range(47, 1)), 2e-4);
}

TEST(GenerationSession, TruncatedAndContinuedItIsAnotherSequence) {
  LCOMP_REQUIRE(golden("families/llama2"));
  Decoder decoder(open_model(golden("families/llama2")));
  const std::vector<std::int32_t> prefix = {5, 9, 100, 33, 2}, wrong = {7, 7, 7}, right = {4, 8};
  std::vector<std::int32_t> all = prefix;
  all.insert(all.end(), right.begin(), right.end());
  GenerationSession fresh(decoder), reused(decoder);
  const std::span<const float> expected = fresh.append(all);
  reused.append(prefix);
  reused.append(wrong);
  reused.truncate(prefix.size());
  EXPECT_EQ(reused.length(), prefix.size());
  const std::span<const float> found = reused.append(right);
  EXPECT_LT(testing::relative_difference({found.data(), 1, found.size()}, {expected.data(), 1, expected.size()}), 1e-5);
}

TEST(GenerationSession, AnUnknownTokenLeavesItAsItWas) {
  LCOMP_REQUIRE(golden("families/llama2"));
  Decoder decoder(open_model(golden("families/llama2")));
  GenerationSession session(decoder);
  session.append(std::vector<std::int32_t>{1, 2, 3});
  const std::vector<std::int32_t> beyond = {4, 151}, negative = {-1};
  EXPECT_THROW(session.append(beyond), Error);
  EXPECT_THROW(session.append(negative), Error);
  EXPECT_THROW(session.append({}), Error);
  EXPECT_EQ(session.length(), 3u);
}

TEST(Generate, StopsAtStopIdsAtTheLimitAndWhenTold) {
  LCOMP_REQUIRE(golden("families/llama2"));
  const auto folder = golden("families/llama2");
  Decoder decoder(open_model(folder));
  const SafetensorsFile io(folder / "io.safetensors");
  const std::vector<std::int32_t> expected = testing::read_ids(io, "greedy_ids");
  std::vector<std::int32_t> prompt = testing::read_ids(io, "input_ids");
  prompt.resize(8);
  Rng rng(1);
  GenerationOptions options;
  options.max_tokens = 16;
  options.stop_ids = {expected[5]};
  const auto first = std::find(expected.begin(), expected.end(), expected[5]);
  GenerationSession session(decoder);
  EXPECT_EQ(generate(session, prompt, options, rng), std::vector<std::int32_t>(expected.begin(), first));

  std::vector<std::int32_t> told;
  options.stop_ids.clear();
  options.on_token = [&](std::int32_t id) {
    told.push_back(id);
    return told.size() < 3;
  };
  session.truncate(0);
  EXPECT_EQ(generate(session, prompt, options, rng), told);
  EXPECT_EQ(told.size(), 3u);
}

TEST(ChooseToken, GreedyTakesTheFirstOfTheHighest) {
  Rng rng(1);
  EXPECT_EQ(choose_token(std::vector<float>{1, 3, 3, 2}, {}, rng), 1);
}

// Probabilities 0.5, 0.25, 0.125, 0.125 (logits: their logarithms).
const std::vector<float> halves = {std::log(0.125f), std::log(0.5f), std::log(0.25f), std::log(0.125f)};

std::vector<double> frequencies(const SamplingOptions& options) {
  Rng rng(11);
  std::vector<double> counts(4);
  constexpr int draws = 20000;
  for (int i = 0; i < draws; ++i) counts[static_cast<std::size_t>(choose_token(halves, options, rng))] += 1.0 / draws;
  return counts;
}

// Standard deviation of a frequency: at most sqrt(0.25 / 20000) = 0.0035.
TEST(ChooseToken, DrawsByProbability) {
  const auto f = frequencies({1, 0, 1});
  EXPECT_NEAR(f[0], 0.125, 0.015);
  EXPECT_NEAR(f[1], 0.5, 0.015);
  EXPECT_NEAR(f[2], 0.25, 0.015);
  EXPECT_NEAR(f[3], 0.125, 0.015);
}

TEST(ChooseToken, TemperatureSharpens) {
  // Half the temperature squares the probabilities: 16 : 4 : 1 : 1 of 22.
  const auto f = frequencies({0.5, 0, 1});
  EXPECT_NEAR(f[1], 16.0 / 22, 0.015);
  EXPECT_NEAR(f[2], 4.0 / 22, 0.015);
}

TEST(ChooseToken, TopKAndTopPCutTheTail) {
  const auto k = frequencies({1, 2, 1});
  EXPECT_NEAR(k[1], 2.0 / 3, 0.015);
  EXPECT_NEAR(k[2], 1.0 / 3, 0.015);
  const auto p = frequencies({1, 0, 0.6});  // 0.5 is too little, 0.75 enough
  EXPECT_NEAR(p[1], 2.0 / 3, 0.015);
  EXPECT_EQ(p[0] + p[3], 0);
  const auto tiny = frequencies({1, 0, 1e-9});
  EXPECT_NEAR(tiny[1], 1, 1e-9);
}

TEST(ChooseToken, RefusesNonsense) {
  Rng rng(1);
  EXPECT_THROW(choose_token(halves, {-1, 0, 1}, rng), Error);
  EXPECT_THROW(choose_token(halves, {1, 0, 0}, rng), Error);
  EXPECT_THROW(choose_token(halves, {1, 0, 1.5}, rng), Error);
  EXPECT_THROW(choose_token(std::vector<float>{1, NAN}, {}, rng), Error);
}

}  // namespace
}  // namespace lcomp
