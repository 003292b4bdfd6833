#include "lcomp/training/train.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lcomp/core/error.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/dense.h"
#include "lcomp/models/model_components.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "lcomp/training/training_log.h"
#include "small_texts.h"
#include "training/parameter_gradients.h"
#include "training/training_texts.h"
#include "training/window_stream.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class TrainTest : public ::testing::Test {
 protected:
  TrainTest() : json_(testing::small_training(folder_.path())) {}

  TrainingResult run(const nlohmann::json& json, const TrainingOptions& options = {}) {
    return train(TrainingConfig::from_json(json, "train.json"), options);
  }
  static TrainingOptions interrupted_after(std::uint64_t step) {
    TrainingOptions options;
    options.progress = [step](const ProgressEvent& event) {
      if (event.done == step) throw Interrupted();
    };
    return options;
  }
  std::string text(const std::string& name) { return read_text_file(folder_ / name); }

  testing::TemporaryFolder folder_;
  nlohmann::json json_;
};

TEST_F(TrainTest, LearnsAndWritesAModel) {
  json_["steps"] = 60;
  const TrainingResult result = run(json_);
  EXPECT_EQ(result.steps, 60U);
  EXPECT_LT(*result.held_out_loss, 3.0);  // log(97) = 4.6 at first
  const std::vector<TrainingLogRow> rows = read_training_log(folder_ / "out/log.csv");
  ASSERT_EQ(rows.size(), 60U);
  EXPECT_NEAR(rows[0].loss, std::log(97.0), 0.2);
  EXPECT_EQ(rows[59].step, 60U);
  EXPECT_TRUE(rows[4].held_out_loss.has_value());
  EXPECT_FALSE(rows[5].held_out_loss.has_value());
  const ModelFolder model = open_model(folder_ / "out");
  EXPECT_EQ(model.parameters(), result.parameters);
  EXPECT_EQ(model.config.vocab_size, 97U);
  EXPECT_NO_THROW(load_tokenizer(folder_ / "out"));
  EXPECT_EQ(nlohmann::json::parse(text("out/training.json")).at("result").at("steps"), 60);
  // Two checkpoints, of which the last is the model's.
  std::size_t checkpoints = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "out/checkpoints")) checkpoints += entry.exists() ? 1 : 0;
  EXPECT_EQ(checkpoints, 2U);
}

TEST_F(TrainTest, GoesOnToTheSameBits) {
  run(json_);
  const std::string whole = text("out/model.safetensors");
  json_["out"] = (folder_ / "other").string();
  EXPECT_THROW(run(json_, interrupted_after(3)), Interrupted);  // keeps a checkpoint of step 3
  EXPECT_THROW(run(json_, interrupted_after(7)), Interrupted);
  EXPECT_EQ(run(json_).first_step, 7U);
  EXPECT_EQ(text("other/model.safetensors"), whole);
  EXPECT_EQ(read_training_log(folder_ / "other/log.csv").size(), 10U);
  // Nothing is left to do.
  const TrainingResult again = run(json_);
  EXPECT_EQ(again.first_step, 10U);
  EXPECT_EQ(text("other/model.safetensors"), whole);
}

TEST_F(TrainTest, RowsOfALogBehindTheCheckpointAreDroppedAndDoneAgain) {
  run(json_);
  const auto before = read_training_log(folder_ / "out/log.csv");
  fs::remove(folder_ / "out/checkpoints/step-00000010.safetensors");
  const std::string whole = text("out/model.safetensors");
  EXPECT_EQ(run(json_).first_step, 5U);
  EXPECT_EQ(text("out/model.safetensors"), whole);
  const auto after = read_training_log(folder_ / "out/log.csv");
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < after.size(); ++i) EXPECT_EQ(after[i].loss, before[i].loss);
}

TEST_F(TrainTest, KilledBetweenTheLastCheckpointAndTheModel) {
  run(json_);
  const std::string whole = text("out/model.safetensors");
  fs::remove(folder_ / "out/model.safetensors");
  nlohmann::json record = nlohmann::json::parse(text("out/training.json"));
  record["result"]["steps"] = 5;
  write_text_file(folder_ / "out/training.json", record.dump());
  run(json_);
  EXPECT_EQ(text("out/model.safetensors"), whole);
  json_["model"] = (folder_ / "out").string();
  EXPECT_THAT([&] { run(json_); }, ThrowsMessage<Error>(HasSubstr("another folder")));
}

TEST_F(TrainTest, AnotherConfigurationIsAnErrorThatSaysWhatDiffers) {
  run(json_);
  nlohmann::json other = json_;
  other["learning_rate"] = 0.02;
  EXPECT_THAT([&] { run(other); },
              ThrowsMessage<Error>(AllOf(HasSubstr("learning_rate: 0.01, now 0.02"), HasSubstr("--extend"))));
  other = json_;
  other["batch"] = 3;
  EXPECT_THAT([&] { run(other); }, ThrowsMessage<Error>(HasSubstr("batch: 2, now 3")));
  other = json_;
  other["steps"] = 12;
  TrainingOptions extend;
  extend.extend = true;
  EXPECT_EQ(run(other, extend).first_step, 10U);
  EXPECT_EQ(read_training_log(folder_ / "out/log.csv").size(), 12U);
  other["checkpoint_every"] = 7;  // free
  EXPECT_NO_THROW(run(other));
  testing::write_sums(folder_ / "sums.jsonl", 99);
  EXPECT_THAT([&] { run(other); }, ThrowsMessage<Error>(HasSubstr("files.texts.0")));
}

TEST_F(TrainTest, DivergenceNamesTheStepAndKeepsTheCheckpoint) {
  json_["checkpoint_every"] = 1;
  json_["dtype"] = "float32";
  json_["clip"] = 0;
  json_["learning_rate"] = 1000;
  json_["warmup"] = 0;
  json_["steps"] = 300;
  json_["weight_decay"] = 50;
  EXPECT_THAT([&] { run(json_); }, ThrowsMessage<Error>(AllOf(HasSubstr("step "), HasSubstr("last good checkpoint"))));
  // It goes on from there, and fails in the same way.
  EXPECT_THAT([&] { run(json_); }, ThrowsMessage<Error>(AllOf(HasSubstr("step "), HasSubstr("last good checkpoint"))));
}

TEST_F(TrainTest, ATextFileShorterThanAWindow) {
  json_["window"] = 64;
  testing::write_sums(folder_ / "sums.jsonl", 3);
  EXPECT_THAT([&] { run(json_); },
              ThrowsMessage<Error>(AllOf(HasSubstr("sums.jsonl"), HasSubstr("at least 64, a window"))));
}

TEST_F(TrainTest, BeginsWithAFoldersWeights) {
  json_["dtype"] = "float32";
  run(json_);
  nlohmann::json next = json_;
  next["model"] = (folder_ / "out").string();
  next["steps"] = 1;
  next["learning_rate"] = 0;
  next["out"] = (folder_ / "next").string();
  const TrainingResult result = run(next);
  EXPECT_DOUBLE_EQ(*result.held_out_loss, nlohmann::json::parse(text("out/training.json"))["result"]["held_out_loss"]);
}

// The folder that is written is the model that was evaluated, to the bit; and training it goes on to the same bits.
class QuantizedTrainTest : public TrainTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(QuantizedTrainTest, WritesWhatItEvaluated) {
  json_["qat"] = nlohmann::json::parse(GetParam());
  const TrainingResult result = run(json_);
  const TrainingConfig config = TrainingConfig::from_json(json_, "train.json");
  const auto tokenizer = load_tokenizer(folder_ / "out/model");
  const TrainingTexts texts = TrainingTexts::read(config.held_out->file, *tokenizer, std::nullopt);
  const TrainingBatch held_out = first_windows(texts, config.window, false, config.held_out->windows);
  EXPECT_EQ(next_token_loss(open_model(folder_ / "out/model"), held_out), *result.held_out_loss);
  const ModelFolder written = open_model(folder_ / "out/model");
  for (const TensorInfo& info : written.tensors->tensors()) {
    if (info.shape.size() == 1) {
      EXPECT_EQ(info.stored_bytes, 2 * info.elements()) << info.name << ", a norm, is in 16 bits";
    }
  }
  const std::string whole = text("out/model/model.safetensors");
  EXPECT_GT(result.bytes, 0U);
  EXPECT_LT(result.bytes, 4 * result.parameters);
  json_["out"] = (folder_ / "other").string();
  EXPECT_THROW(run(json_, interrupted_after(7)), Interrupted);
  EXPECT_EQ(run(json_).first_step, 7U);
  EXPECT_EQ(text("other/model/model.safetensors"), whole);
}

INSTANTIATE_TEST_SUITE_P(
    Settings, QuantizedTrainTest,
    ::testing::Values(
        R"({"quantizer": "rtn:bits=4,group=8"})", R"({"quantizer": "rtn:bits=3,group=tensor,sym", "clipped": true})",
        R"({"quantizer": "rtn:bits=4,group=channel,sym", "activations": {"bits": 8}, "components": {"model.embed_tokens": "f16"}})",
        R"({"quantizer": "rtn:bits=3,group=8,sym", "steps": "learned"})",
        R"({"quantizer": "rtn:bits=2,group=channel,sym,scales=u8", "steps": "learned"})",
        R"({"quantizer": "rtn:bits=3,group=tensor,sym", "steps": "learned"})",
        R"({"quantizer": "rtn:bits=3,group=8,sym", "steps": "absolute_maximum", "clipped": true})",
        R"({"quantizer": "log:bits=4,group=16", "clipped": true})", R"({"quantizer": "nf:bits=3,group=16"})",
        R"({"quantizer": "codebook:bits=3,group=channel", "clipped": true})",
        R"({"quantizer": "rotate+rtn:bits=4,group=8"})"));

// At 1 bit, training with rounded weights is worth more than rounding trained ones.
TEST_F(TrainTest, QuantizedTrainingBeatsRounding) {
  json_["steps"] = 150;
  json_["checkpoint_every"] = 150;
  json_["evaluate_every"] = 150;
  const double original = *run(json_).held_out_loss;
  nlohmann::json quantized = json_;
  quantized["model"] = (folder_ / "out").string();
  quantized["qat"] = {{"quantizer", "rtn:bits=1,group=channel"}, {"components", {{"model.embed_tokens", "f16"}}}};
  quantized["out"] = (folder_ / "rounded").string();
  quantized["learning_rate"] = 0;
  quantized["steps"] = 1;
  const double rounded = *run(quantized).held_out_loss;
  quantized["out"] = (folder_ / "trained").string();
  quantized["learning_rate"] = 0.003;
  quantized["steps"] = 100;
  const double trained = *run(quantized).held_out_loss;
  EXPECT_GT(rounded, original + 0.1) << original;
  EXPECT_LT(trained, rounded - (rounded - original) / 3);
}

// Training keeps the widths that a compressed model has.
TEST_F(TrainTest, KeepsTheWidthsOfAnAllocation) {
  run(json_);
  const ModelFolder trained = open_model(folder_ / "out");
  {
    // Widths by the weights alone, as calibration would give them.
    CompressedFolderWriter writer(folder_ / "bands", false);
    for (const ModelComponent& component : model_components(trained)) {
      const Matrix weight = trained.tensors->read(component.tensor);
      const auto quantizer = make_quantizer("banded:bits=6,sym", component.name);
      writer.add(component.tensor, {component.rows, component.cols},
                 quantizer->quantize_without_statistics(weight.view(), component.name).weight);
    }
    for (const std::string& tensor : uncompressed_tensors(trained)) {
      const Matrix weight = trained.tensors->read(tensor);
      writer.add(tensor, trained.tensors->info(tensor).shape, encode_dense(weight.view(), DenseType::f16, tensor));
    }
    writer.finish(trained.config_json);
  }
  json_["model"] = (folder_ / "out").string();
  json_["out"] = (folder_ / "qat").string();
  json_["qat"] = {{"quantizer", "banded"}, {"allocation", (folder_ / "bands").string()}, {"clipped", true}};
  const TrainingResult result = run(json_);
  const CompressedFolder before(folder_ / "bands"), after(folder_ / "qat/model");
  for (const ModelComponent& component : model_components(trained)) {
    const auto& a = std::get<BandedIntegerView>(before.weight(component.tensor));
    const auto& b = std::get<BandedIntegerView>(after.weight(component.tensor));
    EXPECT_THAT(b.band_bits, ::testing::ElementsAreArray(a.band_bits));
    EXPECT_THAT(b.permutation, ::testing::ElementsAreArray(a.permutation));
  }
  const TrainingConfig config = TrainingConfig::from_json(json_, "train.json");
  const auto tokenizer = load_tokenizer(folder_ / "qat/model");
  const TrainingTexts texts = TrainingTexts::read(config.held_out->file, *tokenizer, std::nullopt);
  const TrainingBatch held_out = first_windows(texts, config.window, false, config.held_out->windows);
  EXPECT_EQ(next_token_loss(open_model(folder_ / "qat/model"), held_out), *result.held_out_loss);
  const std::string whole = text("qat/model/model.safetensors");
  json_["out"] = (folder_ / "other").string();
  EXPECT_THROW(run(json_, interrupted_after(7)), Interrupted);
  EXPECT_EQ(run(json_).first_step, 7U);
  EXPECT_EQ(text("other/model/model.safetensors"), whole);
  json_["qat"]["allocation"] = (folder_ / "out").string();
  EXPECT_THROW(run(json_), Error) << "no compressed model";
}

TEST_F(TrainTest, LearnsFromATeacher) {
  json_["steps"] = 40;
  run(json_);
  nlohmann::json student = json_;
  student["out"] = (folder_ / "student").string();
  student["teacher"] = {{"model", (folder_ / "out").string()}};
  student["seed"] = 5;
  run(student);
  const auto rows = read_training_log(folder_ / "student/log.csv");
  EXPECT_LT(rows.back().loss, rows.front().loss / 2);  // the divergence
  EXPECT_GT(rows.back().loss, 0);
  // Nearly the same from the cache: what the teacher says of a sequence may depend, in its last bits, on the batch that
  // it was first asked in. The same bits where a training reads from the cache alone.
  const fs::path cache = folder_ / "teacher.cache";
  student["teacher"]["cache"] = cache.string();
  student["out"] = (folder_ / "cached").string();
  run(student);
  const auto cached = read_training_log(folder_ / "cached/log.csv");
  ASSERT_EQ(cached.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_NEAR(cached[i].loss, rows[i].loss, 1e-4 * rows[i].loss) << i;
  const auto size = fs::file_size(cache);
  EXPECT_GT(size, 1000U);
  student["out"] = (folder_ / "again").string();
  EXPECT_THROW(run(student, interrupted_after(7)), Interrupted);
  run(student);
  EXPECT_TRUE(text("again/model.safetensors") == text("cached/model.safetensors"));  // too long to print
  EXPECT_EQ(fs::file_size(cache), size);
  student["teacher"].erase("cache");  // may change at any time
  student["steps"] = 40;
  EXPECT_NO_THROW(run(student));
  // A teacher is its own best student.
  student["model"] = student["teacher"]["model"];
  student["steps"] = 1;
  student["out"] = (folder_ / "same").string();
  EXPECT_NEAR(run(student).loss, 0, 1e-4);
}

TEST_F(TrainTest, QuantizersThatCannotBeTrainedWith) {
  const auto fails = [&](const char* qat, const char* what) {
    json_["qat"] = nlohmann::json::parse(qat);
    EXPECT_THAT([&] { run(json_); }, ThrowsMessage<Error>(HasSubstr(what))) << qat;
  };
  fails(R"({"quantizer": "gptq:bits=4"})", "no calibration");
  fails(R"({"quantizer": "banded:bits=4"})", "allocation");
  fails(R"({"quantizer": "rtn:bits=4", "steps": "learned"})", "symmetric");
  fails(R"({"quantizer": "rtn:bits=4", "step": "learned"})", "unknown key");
  fails(R"({"quantizer": "rotate+rtn:bits=4", "clipped": true})", "clipped");
  fails(R"({"quantizer": "rtn:bits=4,sym", "activations": {"bits": 8, "granularity": "tensor"}})", "each token");
  fails(R"({"quantizer": "rotate+rtn:bits=4", "activations": {"bits": 8}})", "a weight with transforms");
}

TEST(TrainingConfig, RefusesWhatItDoesNotKnow) {
  const testing::TemporaryFolder folder;
  const nlohmann::json json = testing::small_training(folder.path());
  const auto fails = [&](const char* key, const nlohmann::json& value, const char* what) {
    nlohmann::json changed = json;
    changed[nlohmann::json::json_pointer(key)] = value;
    EXPECT_THAT([&] { TrainingConfig::from_json(changed, "train.json"); }, ThrowsMessage<Error>(HasSubstr(what)))
        << key;
  };
  fails("/stepz", 3, "unknown key \"stepz\"");
  fails("/steps", 0, "train.json: steps");
  fails("/model/new/hidden_sizes", 3, "hidden_sizes");
  fails("/data/0/share", nlohmann::json::array({nlohmann::json::array({5, 1}), nlohmann::json::array({5, 2})}),
        "train.json: data[0].share");
  fails("/data/0/share", nlohmann::json::array({nlohmann::json::array({0, 1}), nlohmann::json::array({5, 0})}),
        "all 0 at step 5");
  fails("/betas", {0.9}, "betas");
  fails("/schedule", "exponential", "cosine");
  const auto config = TrainingConfig::from_json(json, "train.json");
  EXPECT_EQ(to_json(TrainingConfig::from_json(to_json(config), "again")), to_json(config));
}

TEST(TrainingConfig, SharesFollowStraightLines) {
  const ShareSchedule share{{{10, 1}, {20, 0}}};
  EXPECT_EQ(share.at(0), 1);
  EXPECT_EQ(share.at(10), 1);
  EXPECT_DOUBLE_EQ(share.at(15), 0.5);
  EXPECT_EQ(share.at(20), 0);
  EXPECT_EQ(share.at(1000), 0);
}

}  // namespace
}  // namespace lcomp
