#include "lcomp/training/blockwise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "forward/gradient_recorder.h"
#include "lcomp/core/error.h"
#include "lcomp/forward/block_gradients.h"
#include "lcomp/models/model_in_memory.h"
#include "lcomp/training/train.h"
#include "small_texts.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class BlockwiseTest : public ::testing::Test {
 protected:
  // A model that was trained for a moment.
  void SetUp() override {
    json_ = testing::small_training(folder_.path());
    train(TrainingConfig::from_json(json_, "train.json"));
    json_.erase("held_out");
    json_["model"] = (folder_ / "out").string();
    json_["out"] = (folder_ / "matched").string();
    json_["steps"] = 20;
    json_["blockwise"] = {{"windows", 8}};
  }
  BlockwiseReport match(const char* qat) {
    json_["qat"] = nlohmann::json::parse(qat);
    return match_blocks(TrainingConfig::from_json(json_, "train.json"));
  }

  testing::TemporaryFolder folder_;
  nlohmann::json json_;
};

TEST_F(BlockwiseTest, OutputsComeCloserAndTheResultIsTheSameTwice) {
  for (const char* qat :
       {R"({"quantizer": "rtn:bits=2,group=8,sym,grid=mse", "steps": "learned"})",
        R"({"quantizer": "rtn:bits=3,group=8"})", R"({"quantizer": "log:bits=3,group=8"})",
        R"({"quantizer": "rtn:bits=3,group=8,sym", "steps": "learned", "activations": {"bits": 8}})"}) {
    const BlockwiseReport report = match(qat);
    ASSERT_EQ(report.blocks.size(), 2U);
    EXPECT_LT(report.blocks[0].error, 0.7 * report.blocks[0].error_before) << qat;
    EXPECT_LE(report.blocks[1].error, report.blocks[1].error_before) << qat;
    const std::string first = read_text_file(folder_ / "matched/model/model.safetensors");
    EXPECT_EQ(open_model(folder_ / "matched/model").stored_bytes(), report.size.bytes);
    match(qat);
    EXPECT_EQ(read_text_file(folder_ / "matched/model/model.safetensors"), first) << qat;
  }
}

TEST_F(BlockwiseTest, BeginsWithTheCodesOfAnotherModel) {
  match(R"({"quantizer": "rtn:bits=2,group=8,sym", "steps": "learned"})");
  std::filesystem::rename(folder_ / "matched/model", folder_ / "start");
  json_["out"] = (folder_ / "again").string();
  const auto setting = [&](const char* quantizer) {
    return nlohmann::json{{"quantizer", quantizer}, {"steps", "learned"}, {"start", (folder_ / "start").string()}};
  };
  json_["qat"] = setting("rtn:bits=2,group=8,sym");
  json_["blockwise"]["rate"] = 0;
  json_["blockwise"]["step_rate"] = 0;
  match_blocks(TrainingConfig::from_json(json_, "train.json"));
  EXPECT_EQ(read_text_file(folder_ / "again/model/model.safetensors"),
            read_text_file(folder_ / "start/model.safetensors"));
  json_.erase("blockwise");
  json_["learning_rate"] = 0;
  json_["steps"] = 1;
  train(TrainingConfig::from_json(json_, "train.json"));
  EXPECT_EQ(read_text_file(folder_ / "again/model/model.safetensors"),
            read_text_file(folder_ / "start/model.safetensors"));

  json_["out"] = (folder_ / "other").string();
  json_["qat"] = setting("rtn:bits=3,group=8,sym");
  EXPECT_THAT([&] { train(TrainingConfig::from_json(json_, "train.json")); },
              ThrowsMessage<Error>(HasSubstr("start: model.")));
  json_["qat"]["steps"] = "fitted";
  EXPECT_THAT([&] { TrainingConfig::from_json(json_, "train.json"); }, ThrowsMessage<Error>(HasSubstr("qat.start")));
}

TEST_F(BlockwiseTest, GoesOnWithFinishedBlocksToTheSameBits) {
  const char* qat = R"({"quantizer": "rtn:bits=2,group=8,sym,grid=mse", "steps": "learned"})";
  match(qat);
  const std::string whole = read_text_file(folder_ / "matched/model/model.safetensors");
  TrainingOptions options;
  int updates = 0;
  options.progress = [&](const ProgressEvent& event) {
    ++updates;
    if (event.done == 30) throw Interrupted();  // in the second block
  };
  json_["out"] = (folder_ / "interrupted").string();
  const auto config = TrainingConfig::from_json(json_, "train.json");
  EXPECT_THROW(match_blocks(config, options), Interrupted);
  options.progress = [&](const ProgressEvent&) { ++updates; };
  updates = 0;
  match_blocks(config, options);
  EXPECT_LT(updates, 30);  // the first block's updates are one step
  EXPECT_EQ(read_text_file(folder_ / "interrupted/model/model.safetensors"), whole);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "interrupted/blocks"));
}

TEST_F(BlockwiseTest, WithoutStepsItRounds) {
  json_["qat"] = {{"quantizer", "rtn:bits=3,group=8"}};
  const auto config = TrainingConfig::from_json(json_, "train.json");
  const ModelFolder model = open_model(folder_ / "out");
  TokenBatch window;
  window.add(std::vector<std::int32_t>{1, 2, 3, 4});
  BlockwiseOptions options;
  options.steps = 0;
  const BlockwiseReport report =
      train_blockwise(model, *config.qat, {window}, options, folder_ / "rounded", folder_ / "out");
  EXPECT_EQ(report.blocks[0].error, report.blocks[0].error_before);
  EXPECT_THAT([&] { train_blockwise(model, *config.qat, {}, options, folder_ / "rounded", folder_ / "out"); },
              ThrowsMessage<Error>(HasSubstr("no windows")));
}

TEST_F(BlockwiseTest, NeedsAQuantizerAndAModel) {
  EXPECT_THAT([&] { TrainingConfig::from_json(json_, "train.json"); }, ThrowsMessage<Error>(HasSubstr("\"qat\"")));
}

// Against differences of the mean square.
TEST_F(BlockwiseTest, GradientsOfOneBlock) {
  const ModelFolder folder = open_model(folder_ / "out");
  const auto weights = copy_parameters(folder);
  Decoder decoder(model_in_memory(folder.path, folder.config_json, weights));
  TokenBatch batch;
  batch.add(std::vector<std::int32_t>{5, 6, 7});
  batch.add(std::vector<std::int32_t>{8, 9});
  Rng rng(1);
  Matrix input(5, 16), target(5, 16);
  for (float& v : input.span()) v = static_cast<float>(rng.normal());
  for (float& v : target.span()) v = static_cast<float>(rng.normal());
  testing::GradientRecorder recorder;
  const double error = block_gradients(decoder, 1, batch, input.view(), target.view(), recorder);
  GradientVisitor none;
  // The same by hand.
  Matrix output = input.clone();
  decoder.run_block(1, batch, output.view());
  double expected = 0;
  for (std::size_t i = 0; i < output.size(); ++i) {
    const double difference = static_cast<double>(output.span()[i]) - target.span()[i];
    expected += difference * difference / 80;
  }
  EXPECT_NEAR(error, expected, 1e-6);
  run_block_as_trained(decoder, 1, batch, input.clone().view());
  ASSERT_TRUE(recorder.of.contains("model.layers.1.mlp.up_proj.weight"));
  for (const char* name : {"model.layers.1.mlp.up_proj.weight", "model.layers.1.self_attn.q_proj.weight"}) {
    for (const std::size_t i : {std::size_t{0}, std::size_t{17}, std::size_t{100}}) {
      float& weight = weights->values(name)[i];
      const float before = weight, h = 1e-2F;
      weight = before + h;
      const double above = block_gradients(decoder, 1, batch, input.view(), target.view(), none);
      weight = before - h;
      const double below = block_gradients(decoder, 1, batch, input.view(), target.view(), none);
      weight = before;
      EXPECT_NEAR(recorder.of[name][i], (above - below) / (2 * static_cast<double>(h)), 2e-4) << name << " " << i;
    }
  }
}

}  // namespace
}  // namespace lcomp
