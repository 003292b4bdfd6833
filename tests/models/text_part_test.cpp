// Gemma 3 with vision: the text model in it, made of the golden Gemma 3 and a few tensors of a vision tower.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "lcomp/core/error.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/safetensors.h"
#include "lcomp/models/model_folder.h"
#include "support/golden_model.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using testing::golden;
using ::testing::HasSubstr;

using Rename = std::function<std::string(const std::string&)>;

std::string published(const std::string& name) { return "language_model." + name; }
std::string newer(const std::string& name) { return "model.language_model." + name.substr(6); }

class TextPart : public ::testing::Test {
 protected:
  void SetUp() override { LCOMP_REQUIRE(golden("families/gemma3")); }

  void write(const Rename& rename, const std::vector<std::string>& vision, const nlohmann::json& config) const {
    const auto source = open_safetensors(golden("families/gemma3"));
    std::vector<SafetensorsDeclaration> declarations;
    for (const TensorInfo& info : source->tensors()) {
      declarations.push_back({rename(info.name), DataType::f32, info.shape});
    }
    for (const std::string& name : vision) declarations.push_back({name, DataType::f32, {2, 3, 4}});
    SafetensorsWriter writer(folder_ / "model.safetensors", declarations);
    for (const TensorInfo& info : source->tensors()) {
      writer.write_float(rename(info.name), source->read(info.name).span());
    }
    for (const std::string& name : vision) writer.write_float(name, std::vector<float>(24));
    writer.finish();
    write_text_file(folder_ / "config.json", config.dump());
  }

  static nlohmann::json config() {
    return {{"model_type", "gemma3"},
            {"architectures", {"Gemma3ForConditionalGeneration"}},
            {"torch_dtype", "bfloat16"},
            {"eos_token_id", {1, 106}},
            {"text_config", parse_json_file(golden("families/gemma3/config.json"))},
            {"vision_config", {{"hidden_size", 1152}}},
            {"mm_tokens_per_image", 256}};
  }

  std::string error() const {
    try {
      open_model(folder_.path());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  testing::TemporaryFolder folder_;
};

TEST_F(TextPart, GivesTheLogitsOfTheTextModel) {
  const SafetensorsFile io(golden("families/gemma3") / "io.safetensors");
  const TokenBatch batch = testing::read_batch(io, "input_ids");
  for (const auto& [rename, vision] :
       {std::pair<Rename, std::vector<std::string>>{published, {"vision_tower.x", "multi_modal_projector.y"}},
        {newer, {"model.vision_tower.x", "model.multi_modal_projector.y"}}}) {
    write(rename, vision, config());
    Decoder decoder(open_model(folder_.path()));
    EXPECT_EQ(decoder.model().parameters(), open_model(golden("families/gemma3")).parameters());
    EXPECT_EQ(decoder.model().config_json.at("model_type"), "gemma3_text");
    EXPECT_EQ(decoder.model().config_json.at("torch_dtype"), "float32");  // text_config's own
    EXPECT_FALSE(decoder.model().config_json.contains("vision_config"));
    Matrix logits(batch.tokens(), decoder.config().vocab_size);
    decoder.logits(decoder.forward(batch).view(), logits.view());
    const Matrix expected = testing::read_matrix(io, "logits", decoder.config().vocab_size);
    EXPECT_LT(testing::relative_difference(logits.view(), expected.view()), 2e-4);
  }
}

TEST_F(TextPart, PublishedFilesLeaveOutWhatTransformersAssumes) {
  nlohmann::json sparse = config();
  sparse["text_config"] = {{"hidden_size", 48}, {"num_hidden_layers", 4}, {"model_type", "gemma3_text"}};
  write(published, {}, sparse);
  EXPECT_THAT(error(), AllOf(HasSubstr("\"model.embed_tokens.weight\" is [173, 48] instead of [262208, 48]"),
                             HasSubstr("mlp.down_proj.weight\" is [48, 88] instead of [48, 9216]")));
}

TEST_F(TextPart, WhatIsNoGemma3IsNamed) {
  nlohmann::json other = config();
  other["text_config"]["model_type"] = "llama";
  write(published, {}, other);
  EXPECT_THAT(error(), HasSubstr("text_config.model_type: \"llama\"; expected \"gemma3_text\""));
  other.erase("text_config");
  write_text_file(folder_ / "config.json", other.dump());
  EXPECT_THAT(error(), HasSubstr("text_config"));
  write_text_file(folder_ / "config.json", config().dump());
  write(published, {"audio_tower.x"}, config());
  EXPECT_THAT(error(), HasSubstr("\"audio_tower.x\" [2, 3, 4] has no place"));
  write(published, {"model.language_model.norm.weight"}, config());
  EXPECT_THAT(error(), HasSubstr("both \"language_model.model.norm.weight\" and \"model.language_model.norm.weight\""));
}

}  // namespace
}  // namespace lcomp
