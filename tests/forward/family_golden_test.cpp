// Forward passes of tiny models of each family against values made with torch and transformers
// (../shared/golden/README.md). Tolerance: 2e-4 of the largest value. Float64 differs from the stored float32 run by
// about 1e-6 of it; every wrong detail of the mathematics moves the logits by 1e-3 or more (summary.json's ablations).
#include <gtest/gtest.h>

#include "lcomp/forward/decoder.h"
#include "lcomp/models/model_folder.h"
#include "support/golden_model.h"

namespace lcomp {
namespace {

using testing::golden;

constexpr double state_tolerance = 2e-4;

void expect_golden(const std::filesystem::path& model_path, const std::filesystem::path& io_path) {
  Decoder decoder(open_model(model_path));
  const SafetensorsFile io(io_path);
  const std::size_t hidden = decoder.config().hidden_size;
  const TokenBatch batch = testing::read_batch(io, "input_ids");

  testing::HiddenRecorder recorder;
  ForwardOptions options;
  options.visitor = &recorder;
  const Matrix normed = decoder.forward(batch, options);
  ASSERT_EQ(recorder.states.size(), decoder.config().num_layers() + 1);
  for (std::size_t layer = 0; layer < recorder.states.size(); ++layer) {
    const Matrix expected = testing::read_matrix(io, "hidden." + std::to_string(layer), hidden);
    EXPECT_LT(testing::relative_difference(recorder.states[layer].view(), expected.view()), state_tolerance)
        << "hidden." << layer;
  }
  EXPECT_LT(testing::relative_difference(normed.view(), testing::read_matrix(io, "hidden.norm", hidden).view()),
            state_tolerance);

  Matrix logits(batch.tokens(), decoder.config().vocab_size);
  decoder.logits(normed.view(), logits.view());
  const Matrix expected = testing::read_matrix(io, "logits", decoder.config().vocab_size);
  EXPECT_LT(testing::relative_difference(logits.view(), expected.view()), state_tolerance);

  float loss = 0;
  to_float(io.entry("loss"), 0, {&loss, 1});
  EXPECT_NEAR(testing::next_token_loss(batch, logits.view()), loss, 1e-4);
}

struct FamilyGolden : ::testing::TestWithParam<const char*> {
  std::filesystem::path folder() const { return golden(std::string("families/") + GetParam()); }
};

TEST_P(FamilyGolden, ForwardMatchesTheReference) {
  LCOMP_REQUIRE(folder());
  expect_golden(folder(), folder() / "io.safetensors");
  if (std::filesystem::exists(folder() / "io_long.safetensors"))
    expect_golden(folder(), folder() / "io_long.safetensors");
}

TEST_P(FamilyGolden, TheSpellingOfTransformers5GivesTheSame) {
  LCOMP_REQUIRE(folder());
  const testing::TemporaryFolder copy;
  testing::copy_with_config_v5(folder(), copy.path());
  expect_golden(copy.path(), folder() / "io.safetensors");
}

TEST_P(FamilyGolden, ResidentWeightsGiveTheSameBits) {
  LCOMP_REQUIRE(folder());
  const SafetensorsFile io(folder() / "io.safetensors");
  const TokenBatch batch = testing::read_batch(io, "input_ids");
  Decoder streamed(open_model(folder())), resident(open_model(folder()));
  resident.load_all();
  EXPECT_TRUE(resident.loaded());
  EXPECT_EQ(testing::relative_difference(resident.forward(batch).view(), streamed.forward(batch).view()), 0);
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyGolden, ::testing::ValuesIn(testing::golden_families),
                         testing::golden_family_name);

}  // namespace
}  // namespace lcomp
