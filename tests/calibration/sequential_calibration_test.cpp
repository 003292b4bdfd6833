#include "lcomp/calibration/sequential_calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lcomp/calibration/calibrate.h"
#include "lcomp/core/error.h"
#include "replaced_tensors.h"
#include "support/reference_data.h"
#include "tiny_model.h"

namespace lcomp {
namespace {

struct SequentialCalibrationTest : ::testing::TestWithParam<BlockOrder> {
  testing::TemporaryFolder folder;
  ModelFolder model;
  CalibrationOptions options = testing::in_slices();
  TokenBatch batch = testing::random_tokens(testing::several_slices, 137);

  void SetUp() override {
    LCOMP_REQUIRE(testing::tiny_model());
    model = open_model(testing::tiny_model());
  }
  CalibrationKey key(const Decoder& decoder) const { return calibration_key(model, decoder.compute(), batch, options); }
  static void finish_block(SequentialCalibration& calibration, const TensorSource& weights) {
    for (std::size_t stage = 0; stage < calibration.stages(); ++stage) calibration.collect(stage, weights);
    calibration.advance(weights);
  }
};

TEST_P(SequentialCalibrationTest, WithUnchangedWeightsItIsPlainCalibration) {
  Decoder decoder(model);
  const auto plain = calibrate(decoder, batch, folder / "plain", options);
  SequentialCalibration calibration(decoder, batch, GetParam(), options);
  EXPECT_EQ(calibration.stages(), GetParam() == BlockOrder::by_stage ? 4U : 1U);
  std::size_t inputs = 0;
  for (std::size_t layer = 0; layer < 4; ++layer) {
    ASSERT_FALSE(calibration.finished());
    EXPECT_EQ(calibration.layer(), layer);
    for (std::size_t stage = 0; stage < calibration.stages(); ++stage) {
      const auto components = calibration.components(stage);
      const auto collected = calibration.collect(stage, *model.tensors);
      ASSERT_EQ(collected.size(), components.size());
      for (std::size_t i = 0; i < collected.size(); ++i) {
        EXPECT_EQ(collected[i].components, components[i]);
        EXPECT_TRUE(testing::same(collected[i], *plain.statistics(components[i].front()))) << components[i].front();
        ++inputs;
      }
    }
    calibration.advance(*model.tensors);
  }
  EXPECT_TRUE(calibration.finished());
  EXPECT_EQ(inputs, 16U);
  EXPECT_TRUE(testing::same(calibration.collect_head(), *plain.statistics("model.embed_tokens")));
}

TEST_P(SequentialCalibrationTest, CollectingTwiceGivesTheSame) {
  Decoder decoder(model);
  SequentialCalibration calibration(decoder, batch, GetParam(), options);
  calibration.advance(*model.tensors);
  const auto once = calibration.collect(0, *model.tensors), again = calibration.collect(0, *model.tensors);
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_TRUE(testing::same(once[i], again[i]));
}

// The statistics of each stage are those of a model whose earlier linear layers are replaced: here, all weights halved
// one after the other.
TEST_P(SequentialCalibrationTest, SeesWhatIsReplacedAlready) {
  Decoder decoder(model);
  testing::ReplacedTensors weights(model.tensors);
  options.storage = ResidualStorage::float32;
  SequentialCalibration calibration(decoder, batch, GetParam(), options);
  while (!calibration.finished()) {
    for (std::size_t stage = 0; stage < calibration.stages(); ++stage) {
      testing::ExactVisitor exact;
      for (const auto& components : calibration.components(stage)) exact.wanted.insert(components.front());
      ForwardOptions forward;
      forward.visitor = &exact;
      forward.weights = &weights;
      decoder.forward(batch, forward);
      for (const InputStatistics& input : calibration.collect(stage, weights)) {
        testing::expect_close(input, *exact.of.at(input.components.front()), 1e-5);
        for (const std::string& component : input.components) {
          weights.replace(component + ".weight", testing::scaled_weight(model, component, 0.5F));
        }
      }
    }
    calibration.advance(weights);
  }
}

TEST_P(SequentialCalibrationTest, GoesOnWhereItStopped) {
  Decoder decoder(model);
  testing::ReplacedTensors weights(model.tensors);
  weights.replace("model.layers.0.mlp.up_proj.weight",
                  testing::scaled_weight(model, "model.layers.0.mlp.up_proj", 0.9F));
  const Workspace work(folder / "work", "plan 1");
  {
    SequentialCalibration calibration(decoder, batch, GetParam(), options, key(decoder), work);
    EXPECT_EQ(calibration.layer(), 0U);
    finish_block(calibration, weights);
    finish_block(calibration, weights);
    calibration.collect(0, weights);
  }
  SequentialCalibration whole(decoder, batch, GetParam(), options);
  whole.advance(weights);
  whole.advance(weights);
  SequentialCalibration resumed(decoder, batch, GetParam(), options, key(decoder), work);
  EXPECT_EQ(resumed.layer(), 2U);
  while (!resumed.finished()) {
    const auto a = whole.collect(0, weights), b = resumed.collect(0, weights);
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(testing::same(a[i], b[i]));
    whole.advance(weights);
    resumed.advance(weights);
  }
  EXPECT_TRUE(testing::same(whole.collect_head(), resumed.collect_head()));
  SequentialCalibration done(decoder, batch, GetParam(), options, key(decoder), work);
  EXPECT_TRUE(done.finished());
  done.discard_checkpoint();
  EXPECT_EQ(SequentialCalibration(decoder, batch, GetParam(), options, key(decoder), work).layer(), 0U);
}

TEST_P(SequentialCalibrationTest, OtherWorkIsRefused) {
  Decoder decoder(model);
  SequentialCalibration(decoder, batch, GetParam(), options, key(decoder), Workspace(folder / "work", "plan 1"))
      .advance(*model.tensors);  // something is kept
  try {
    SequentialCalibration(decoder, batch, GetParam(), options, key(decoder), Workspace(folder / "work", "plan 2"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.parts().found, ::testing::HasSubstr("unfinished work of another"));
  }
  const Workspace anew(folder / "work", "plan 2", OtherWork::discard);
  EXPECT_EQ(SequentialCalibration(decoder, batch, GetParam(), options, key(decoder), anew).layer(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Orders, SequentialCalibrationTest,
                         ::testing::Values(BlockOrder::whole_block, BlockOrder::by_stage), [](const auto& order) {
                           return order.param == BlockOrder::by_stage ? "by_stage" : "whole_block";
                         });

}  // namespace
}  // namespace lcomp
