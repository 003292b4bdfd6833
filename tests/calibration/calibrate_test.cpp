#include "lcomp/calibration/calibrate.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "replaced_tensors.h"
#include "support/reference_data.h"
#include "tiny_model.h"

namespace lcomp {
namespace {

using testing::several_slices;

// The values of all items, as they are on disk.
std::map<std::string, std::vector<float>> matrices(const std::filesystem::path& folder) {
  const Archive archive = Archive::open(folder, CalibrationArchive::open(folder).key().text());
  std::map<std::string, std::vector<float>> values;
  for (const std::string& name : archive.names()) {
    if (!name.starts_with("hessian/") && !name.starts_with("ranges/")) continue;
    const Matrix matrix = archive.read(name);
    values[name] = {matrix.span().begin(), matrix.span().end()};
  }
  return values;
}

struct Calibrate : ::testing::Test {
  testing::TemporaryFolder folder;
  CalibrationOptions options = testing::in_slices();

  void SetUp() override { LCOMP_REQUIRE(testing::tiny_model()); }
  static Decoder decoder() { return Decoder(open_model(testing::tiny_model())); }
  static TokenBatch tokens(std::size_t count = 400, std::uint64_t seed = 1) {
    return testing::random_tokens(count, 137, seed);
  }
  void calibrate_into(const std::string& name, const TokenBatch& batch) const {
    Decoder model = decoder();
    calibrate(model, batch, folder / name, options);
  }
};

// Against products in double of what a visitor sees in one forward pass over the whole batch. With a float32 stream the
// difference is that of float32 sums whose order depends on how tokens are grouped (see Decoder): 1e-5. Rounding the
// stream to 11 bits adds 5e-4 a value at most, which a random model magnifies a few times.
TEST_F(Calibrate, MatchesTheDefinition) {
  Decoder model = decoder();
  for (const std::size_t count : {std::size_t{400}, several_slices}) {
    const TokenBatch batch = tokens(count);
    testing::ExactVisitor exact;
    ForwardOptions forward;
    forward.visitor = &exact;
    const Matrix normed = model.forward(batch, forward);
    testing::ExactStatistics head;
    head.add(normed.view());
    for (const ResidualStorage storage : {ResidualStorage::float32, ResidualStorage::scaled_half}) {
      options.storage = storage;
      const auto archive =
          calibrate(model, batch, folder / (std::string(name(storage)) + std::to_string(count)), options);
      const double tolerance = storage == ResidualStorage::float32 ? 1e-5 : 5e-3;
      EXPECT_EQ(archive.components().size(), exact.of.size() + 1);
      for (const auto& [component, statistics] : exact.of) {
        ASSERT_TRUE(archive.contains(component)) << component;
        testing::expect_close(*archive.statistics(component), *statistics, tolerance);
      }
      testing::expect_close(*archive.statistics("model.embed_tokens"), head, tolerance);
    }
  }
}

struct CalibrateFamily : ::testing::TestWithParam<const char*> {};

// Every kind of block: fused tensors, parallel halves, post norms, experts. Also with a few groups of inputs at a time.
TEST_P(CalibrateFamily, MatchesTheDefinition) {
  const std::filesystem::path model = testing::golden(std::string("families/") + GetParam());
  LCOMP_REQUIRE(model);
  const testing::TemporaryFolder folder;
  Decoder decoder(open_model(model));
  const TokenBatch batch = testing::random_tokens(500, decoder.config().vocab_size);
  testing::ExactVisitor exact;
  ForwardOptions forward;
  forward.visitor = &exact;
  decoder.forward(batch, forward);
  CalibrationOptions options;
  options.storage = ResidualStorage::float32;
  const auto archive = calibrate(decoder, batch, folder / "a", options);
  options.accumulator_limit = 2'000'000;
  const auto parts = calibrate(decoder, batch, folder / "b", options);
  EXPECT_EQ(archive.components().size(), exact.of.size() + 1);
  for (const std::string& component : archive.components()) {
    if (component == archive.components().back()) break;  // the head is no linear of a block
    ASSERT_TRUE(exact.of.contains(component)) << component;
    testing::expect_close(*archive.statistics(component), *exact.of.at(component), 3e-5);
    EXPECT_TRUE(testing::same(*archive.statistics(component), *parts.statistics(component))) << component;
  }
}
INSTANTIATE_TEST_SUITE_P(Families, CalibrateFamily,
                         ::testing::Values("llama2", "mixtral", "gemma2", "gemma3", "phi", "phi3", "qwen3"),
                         [](const auto& family) { return std::string(family.param); });

// Tokens so few that some experts are never chosen: listed with no tokens and zeros.
TEST(CalibrateExperts, AnExpertWithoutTokens) {
  const std::filesystem::path model = testing::golden("families/mixtral");
  LCOMP_REQUIRE(model);
  const testing::TemporaryFolder folder;
  Decoder decoder(open_model(model));
  TokenBatch batch;
  batch.add(std::vector<std::int32_t>{3});
  const auto archive = calibrate(decoder, batch, folder / "a");
  std::uint64_t routed = 0;
  for (int expert = 0; expert < 6; ++expert) {
    const auto statistics = archive.statistics(fmt::format("model.layers.0.block_sparse_moe.experts.{}.w2", expert));
    routed += statistics->tokens;
    const bool zeros = std::ranges::all_of(statistics->hessian.span(), [](float v) { return v == 0; });
    EXPECT_EQ(zeros, statistics->tokens == 0);
  }
  EXPECT_EQ(routed, 2U);  // two experts a token
}

TEST_F(Calibrate, LinearsOfOneInputShareStatistics) {
  Decoder model = decoder();
  const auto archive = calibrate(model, tokens(), folder / "a");
  const auto query = archive.statistics("model.layers.1.self_attn.q_proj");
  EXPECT_EQ(query, archive.statistics("model.layers.1.self_attn.v_proj"));
  EXPECT_THAT(query->components,
              ::testing::ElementsAre("model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.k_proj",
                                     "model.layers.1.self_attn.v_proj"));
  EXPECT_EQ(archive.statistics("model.layers.0.mlp.gate_proj"), archive.statistics("model.layers.0.mlp.up_proj"));
  EXPECT_NE(query, archive.statistics("model.layers.1.self_attn.o_proj"));
  EXPECT_EQ(archive.statistics("model.layers.0.mlp.down_proj")->hessian.rows(), 72U);
}

TEST_F(Calibrate, TokensAreCounted) {
  Decoder model = decoder();
  const TokenBatch batch = tokens();
  const auto archive = calibrate(model, batch, folder / "a");
  ASSERT_EQ(archive.token_counts().size(), 137U);
  EXPECT_EQ(archive.tokens(), batch.tokens());
  EXPECT_EQ(archive.statistics("model.layers.3.mlp.down_proj")->tokens, batch.tokens());
  for (std::size_t id = 0; id < 137; ++id) {
    EXPECT_EQ(archive.token_counts()[id],
              static_cast<double>(std::ranges::count(batch.ids, static_cast<std::int32_t>(id))));
  }
}

TEST_F(Calibrate, MemoryLimitsDoNotMatter) {
  const TokenBatch batch = tokens(several_slices);
  calibrate_into("memory", batch);
  options.memory_limit = 1000;
  calibrate_into("disk", batch);
  options.accumulator_limit = 1;
  calibrate_into("one input at a time", batch);
  const auto expected = matrices(folder / "memory");
  EXPECT_EQ(expected.size(), 2U * (4 * 4 + 1));
  EXPECT_EQ(matrices(folder / "disk"), expected);
  EXPECT_EQ(matrices(folder / "one input at a time"), expected);
}

TEST_F(Calibrate, TheSameAgainWithTheSameThreads) {
  const TokenBatch batch = tokens(2000);
  const std::size_t before = thread_count();
  for (const std::size_t threads : {1, 2}) {
    set_thread_count(threads);
    calibrate_into("a" + std::to_string(threads), batch);
    calibrate_into("b" + std::to_string(threads), batch);
    EXPECT_EQ(matrices(folder / ("a" + std::to_string(threads))), matrices(folder / ("b" + std::to_string(threads))));
  }
  set_thread_count(before);
}

TEST_F(Calibrate, LeavesNothingButTheArchive) {
  calibrate_into("a", tokens());
  for (const auto& entry : std::filesystem::directory_iterator(folder / "a")) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(name.ends_with(".h5") || name == "archive.json" || name == "lock") << name;
  }
}

TEST_F(Calibrate, DoneAlreadyRunsNothing) {
  const TokenBatch batch = tokens();
  calibrate_into("a", batch);
  options.progress = [](const ProgressEvent&) { FAIL() << "work was done"; };
  calibrate_into("a", batch);
}

TEST_F(Calibrate, ProgressCountsLayers) {
  std::vector<ProgressEvent> events;
  options.progress = [&](const ProgressEvent& event) { events.push_back(event); };
  calibrate_into("a", tokens(several_slices));
  ASSERT_EQ(events.size(), 1U + 4 * 2 + 2);  // 4 layers and the head, two groups of tokens each
  EXPECT_EQ(events.back().done, events.back().total);
  EXPECT_EQ(events[3].label, "calibration, layer 2 of 4");
  EXPECT_TRUE(events[3].remaining_seconds.has_value());
  EXPECT_EQ(events.back().label, "calibration, head");
}

struct CalibrateErrors : Calibrate {
  ErrorParts error(const std::function<void()>& work) const {
    try {
      work();
    } catch (const Error& error) {
      return error.parts();
    }
    ADD_FAILURE() << "no error";
    return {};
  }
};

TEST_F(CalibrateErrors, AnArchiveOfOtherTexts) {
  calibrate_into("a", tokens(600, 1));
  const auto parts = error([&] { calibrate_into("a", tokens(600, 2)); });
  EXPECT_EQ(parts.where, (folder / "a").string());
  EXPECT_EQ(parts.found, "statistics of other texts");
}

TEST_F(CalibrateErrors, TheSameTokensCutOtherwiseAreOtherTexts) {
  TokenBatch one, two;
  const std::vector<std::int32_t> ids = {3, 4, 5, 6};
  one.add(ids);
  two.add(std::span(ids).first(2));
  two.add(std::span(ids).last(2));
  calibrate_into("a", one);
  EXPECT_EQ(error([&] { calibrate_into("a", two); }).found, "statistics of other texts");
}

TEST_F(CalibrateErrors, AnArchiveOfAnotherModel) {
  calibrate_into("a", tokens());
  ModelFolder other = open_model(testing::tiny_model());
  auto tensors = std::make_shared<testing::ReplacedTensors>(other.tensors);
  Matrix gains = other.tensors->read("model.layers.2.input_layernorm.weight");
  gains.span()[0] += 1e-6F;
  tensors->replace("model.layers.2.input_layernorm.weight", std::move(gains));
  other.tensors = tensors;
  Decoder model(other);
  EXPECT_EQ(error([&] { calibrate(model, tokens(), folder / "a", options); }).found, "statistics of other model");
  EXPECT_EQ(error([&] { CalibrationArchive::open(folder / "a").require_model(other); }).found,
            "statistics of other model");
  CalibrationArchive::open(folder / "a").require_model(open_model(testing::tiny_model()));
}

TEST_F(CalibrateErrors, AnArchiveOfOtherOptions) {
  calibrate_into("a", tokens());
  options.storage = ResidualStorage::float32;
  const auto parts = error([&] { calibrate_into("a", tokens()); });
  EXPECT_THAT(parts.found, ::testing::HasSubstr("statistics of other options (storage scaled_half"));
  EXPECT_THAT(parts.expected, ::testing::HasSubstr("storage float32"));
}

TEST_F(CalibrateErrors, AnotherKindOfArchive) {
  Archive::open(folder / "a", "something else");
  EXPECT_EQ(error([&] { calibrate_into("a", tokens()); }).found, "an archive of something else");
}

TEST_F(CalibrateErrors, NoTokens) {
  EXPECT_EQ(error([&] { calibrate_into("a", TokenBatch()); }).found, "no tokens");
}

TEST_F(CalibrateErrors, AnEmptySequence) {
  TokenBatch batch = tokens();
  batch.add({});
  EXPECT_THAT(error([&] { calibrate_into("a", batch); }).found, ::testing::HasSubstr("is empty"));
}

TEST_F(CalibrateErrors, ATokenOutsideTheVocabulary) {
  TokenBatch batch = tokens();
  const std::vector<std::int32_t> ids = {137};
  batch.add(ids);
  EXPECT_THAT(error([&] { calibrate_into("a", batch); }).found, ::testing::HasSubstr("137"));
}

// gate and up so large that their product overflows: infinity at the input of down.
TEST_F(CalibrateErrors, ActivationsThatAreNotFiniteAreNamed) {
  ModelFolder broken = open_model(testing::tiny_model());
  auto tensors = std::make_shared<testing::ReplacedTensors>(broken.tensors);
  for (const std::string name : {"gate_proj", "up_proj"}) {
    const std::string component = "model.layers.2.mlp." + name;
    tensors->replace(component + ".weight", testing::scaled_weight(broken, component, 1e25F));
  }
  broken.tensors = tensors;
  Decoder model(broken);
  TokenBatch batch;
  batch.add(std::vector<std::int32_t>{5});
  batch.add(std::vector<std::int32_t>{6, 7});
  const auto parts = error([&] { calibrate(model, batch, folder / "a"); });
  EXPECT_EQ(parts.where, "layer 2, model.layers.2.mlp.down_proj, sequence 0, position 0");
  EXPECT_THAT(parts.found, ::testing::HasSubstr("in the linear's input, column"));
}

TEST_F(CalibrateErrors, AnUnknownComponent) {
  Decoder model = decoder();
  const auto archive = calibrate(model, tokens(), folder / "a");
  EXPECT_THAT(error([&] { (void)archive.statistics("lm_head"); }).found, ::testing::HasSubstr("lm_head"));
}

TEST_F(CalibrateErrors, OpeningWhatIsNoCalibration) {
  EXPECT_EQ(error([&] { CalibrationArchive::open(folder / "absent"); }).found, "no archive.json");
  int step = 0;
  options.progress = [&](const ProgressEvent&) {
    if (++step == 4) throw Interrupted();
  };
  EXPECT_THROW(calibrate_into("a", tokens()), Interrupted);
  EXPECT_THAT(error([&] { CalibrationArchive::open(folder / "a"); }).found, ::testing::HasSubstr("2 layers are done"));
}

TEST_F(CalibrateErrors, ADamagedItemIsNamed) {
  Decoder model = decoder();
  const auto archive = calibrate(model, tokens(), folder / "a");
  const auto file = folder / "a/hessian%2Fmodel.layers.1.mlp.down_proj.h5";
  ASSERT_TRUE(std::filesystem::exists(file));
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  EXPECT_THAT(error([&] { (void)archive.statistics("model.layers.1.mlp.down_proj"); }).found,
              ::testing::HasSubstr("damaged"));
}

}  // namespace
}  // namespace lcomp
