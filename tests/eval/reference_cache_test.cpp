// Divergences from an original whose side is on disk.
#include "lcomp/eval/reference_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "lcomp/io/atomic_file.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using testing::data;
using testing::golden;
using testing::smollm2;

ScoringBatch random_batch(std::uint64_t seed) {
  ScoringBatch batch;
  batch.first_scored = 3;
  Rng rng(seed);
  for (std::size_t length : {9u, 17u, 4u}) {
    std::vector<TokenId> ids(length);
    for (TokenId& id : ids) id = static_cast<TokenId>(rng.below(130));
    batch.tokens.add(ids);
  }
  return batch;
}

// States of another model.
Matrix disturbed(const Matrix& states, float size) {
  Matrix other = states.clone();
  Rng rng(3);
  for (float& value : other.span()) value += size * static_cast<float>(rng.normal());
  return other;
}

void expect_same(const TextScores& a, const TextScores& b) {
  EXPECT_EQ(to_json(a.perplexity), to_json(b.perplexity));
  ASSERT_TRUE(a.divergence && b.divergence);
  EXPECT_EQ(to_json(*a.divergence), to_json(*b.divergence));
}

struct ReferenceCache : ::testing::Test {
  testing::TemporaryFolder folder;
  ScoringBatch batch = random_batch(1);
  fs::path file(ComputeType compute = ComputeType::float32) const {
    return reference_file(folder / "cache", "model", compute, batch);
  }
};

TEST_F(ReferenceCache, DivergenceWithItIsTheOneWithoutBitForBit) {
  LCOMP_REQUIRE(golden("families/llama-tied"));
  Decoder original(open_model(golden("families/llama-tied")));
  const Matrix states = scored_states(original, batch, {});
  ASSERT_EQ(states.rows(), batch.scored_tokens());
  const Matrix other = disturbed(states, 0.5f);
  const TextScores without = score_states(original, other, batch, {&original, &states}, {});
  EXPECT_GT(without.divergence->kl.mean, 1e-3);
  EXPECT_EQ(without.divergence->sequence_kl.size(), 3u);

  const Matrix stored = cached_states(file(), original, batch, {});
  expect_same(without, score_states(original, other, batch, {&original, &stored}, {}));
  // From the file alone: the forward pass would report its steps.
  ForwardOptions options;
  options.progress = [](const ProgressEvent&) { FAIL() << "the original ran again"; };
  const Matrix loaded = cached_states(file(), original, batch, options);
  expect_same(without, score_states(original, other, batch, {&original, &loaded}, {}));
}

TEST_F(ReferenceCache, TheNameDependsOnModelTokensAndCompute) {
  const fs::path one = file();
  EXPECT_NE(one, file(ComputeType::bfloat16));
  EXPECT_NE(one, reference_file(folder / "cache", "another model", ComputeType::float32, batch));
  batch.first_scored = 2;
  EXPECT_NE(one, file());
  batch = random_batch(2);
  EXPECT_NE(one, file());
  batch = random_batch(1);
  EXPECT_EQ(one, file());
}

TEST_F(ReferenceCache, DamagedAndForeignFilesAreRefused) {
  LCOMP_REQUIRE(golden("families/llama-tied"));
  Decoder original(open_model(golden("families/llama-tied")));
  const auto message = [&] {
    try {
      cached_states(file(), original, batch, {});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message(), "no error");
  const std::string whole = read_text_file(file());
  std::string damaged = whole;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  write_text_file(file(), damaged);
  EXPECT_THAT(message(), ::testing::HasSubstr("damaged states"));
  write_text_file(file(), whole.substr(0, whole.size() / 2));
  EXPECT_THAT(message(), ::testing::HasSubstr(file().filename().string()));
  const fs::path first = file();
  batch = random_batch(2);
  write_text_file(file(), whole);
  EXPECT_THAT(message(), ::testing::HasSubstr("those of another"));
}

// A real model; the other is the same one with its final states disturbed.
TEST(SlowSmollm2ReferenceCache, DivergenceWithItIsTheOneWithoutBitForBit) {
  LCOMP_REQUIRE(smollm2());
  LCOMP_REQUIRE(data("wikitext2/wiki.test.raw"));
  testing::TemporaryFolder folder;
  TextProtocol protocol;
  protocol.window = 128;
  protocol.sequences = 2;
  const ModelFolder model = open_model(smollm2());
  const ScoringBatch batch = make_scoring_batch(protocol, *load_tokenizer(smollm2()), data("").string());
  Decoder original(model);
  const Matrix states = scored_states(original, batch, {});
  const Matrix other = disturbed(states, 0.1f);
  const TextScores without = score_states(original, other, batch, {&original, &states}, {});
  EXPECT_GT(without.divergence->kl.mean, 1e-4);
  const fs::path file = reference_file(folder.path(), "smollm2", ComputeType::float32, batch);
  cached_states(file, original, batch, {});
  const Matrix loaded = cached_states(file, original, batch, {});
  expect_same(without, score_states(original, other, batch, {&original, &loaded}, {}));
  EXPECT_LT(fs::file_size(file), batch.scored_tokens() * 576 * 4 + 1024);
}

}  // namespace
}  // namespace lcomp
