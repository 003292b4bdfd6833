#include "lcomp/models/gguf_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gguf_of_model.h"
#include "golden_model.h"
#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/models/decoder.h"
#include "lcomp/models/model_folder.h"
#include "models/gguf_number.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::ElementsAreArray;
using testing::golden;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

template <typename Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

struct Case {
  const char* family;
  const char* architecture;
};

class GgufModelTest : public ::testing::TestWithParam<Case> {
 protected:
  std::filesystem::path folder() const { return golden(std::string("families/") + GetParam().family); }
};

// Written as llama.cpp's converter does and read back: the same config where it matters, the same bits in every tensor,
// the same logits as the reference (2e-4 of the largest, as in family_golden_test.cpp).
TEST_P(GgufModelTest, GivesTheHuggingFaceModelBack) {
  LCOMP_REQUIRE(folder());
  const ModelFolder original = open_model(folder());
  const TemporaryFolder temporary;
  testing::as_gguf(original, GetParam().architecture).write(temporary / "model.gguf");
  const GgufModel model = open_gguf_model(temporary / "model.gguf");
  for (const char* key :
       {"model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "rope_theta", "hidden_act",
        "tie_word_embeddings", "bos_token_id", "eos_token_id", "architectures"}) {
    EXPECT_EQ(model.config_json.at(key), original.config_json.at(key)) << key;
  }
  ASSERT_EQ(model.tensors->tensors().size(), original.tensors->tensors().size());
  for (const TensorInfo& tensor : original.tensors->tensors()) {
    EXPECT_EQ(model.tensors->info(tensor.name).shape, tensor.shape);
    EXPECT_THAT(model.tensors->read(tensor.name).span(), ElementsAreArray(original.tensors->read(tensor.name).span()))
        << tensor.name;
  }

  const SafetensorsFile io(folder() / "io.safetensors");
  const TokenBatch batch = testing::read_batch(io, "input_ids");
  Decoder decoder(open_model(temporary / "model.gguf"));
  Matrix logits(batch.tokens(), decoder.config().vocab_size);
  decoder.logits(decoder.forward(batch).view(), logits.view());
  const Matrix expected = testing::read_matrix(io, "logits", decoder.config().vocab_size);
  EXPECT_LT(testing::relative_difference(logits.view(), expected.view()), 2e-4);
}

INSTANTIATE_TEST_SUITE_P(Families, GgufModelTest,
                         ::testing::Values(Case{"llama2", "llama"}, Case{"llama3", "llama"},
                                           Case{"llama-tied", "llama"}, Case{"qwen2", "qwen2"}, Case{"qwen3", "qwen3"}),
                         [](const auto& test) {
                           std::string name = test.param.family;
                           std::erase(name, '-');
                           return name;
                         });

class GgufModelDefects : public ::testing::Test {
 protected:
  void SetUp() override {
    LCOMP_REQUIRE(golden("families/llama3"));
    original_ = open_model(golden("families/llama3"));
    writer_ = testing::as_gguf(original_, "llama");
  }
  GgufModel open() const {
    writer_.write(folder_ / "x.gguf");
    return open_gguf_model(folder_ / "x.gguf");
  }
  std::string error() const {
    return error_of([&] { open(); });
  }

  TemporaryFolder folder_;
  ModelFolder original_;
  testing::GgufWriter writer_;
};

TEST_F(GgufModelDefects, AnyPieceOfAnInterleavedTensor) {
  const GgufModel model = open();
  const std::string name = "model.layers.1.self_attn.q_proj.weight";
  const Matrix whole = original_.tensors->read(name);
  for (std::size_t begin = 0; begin < whole.rows(); begin += 5) {
    const std::size_t count = std::min<std::size_t>(17, whole.rows() - begin);
    Matrix piece(count, whole.cols());
    model.tensors->read_rows(name, begin, count, piece.span());
    EXPECT_THAT(piece.span(), ElementsAreArray(whole.span().subspan(begin * whole.cols(), piece.size())));
  }
  Matrix piece(2, whole.cols());
  EXPECT_THROW(model.tensors->read_rows(name, whole.rows() - 1, 2, piece.span()), Error);
}

TEST_F(GgufModelDefects, Llama3ScalingIsFoundFromTheDivisors) {
  // The tiny model's original length (128) is not the published one: it is fitted from the divisors between 1 and the
  // factor.
  EXPECT_EQ(open().config_json.at("rope_scaling"), original_.config_json.at("rope_scaling"));
  // As metadata it need not be fitted.
  writer_.set("llama.rope.scaling.original_context_length", std::uint32_t{128});
  EXPECT_EQ(open().config_json.at("rope_scaling"), original_.config_json.at("rope_scaling"));
  writer_.erase("llama.rope.scaling.original_context_length");
  writer_.erase_tensor("rope_freqs.weight");
  EXPECT_TRUE(open().config_json.at("rope_scaling").is_null());
  Matrix other(6, 1);
  for (std::size_t i = 0; i < 6; ++i) other(i, 0) = static_cast<float>(6 - i);
  writer_.add("rope_freqs.weight", {6}, other.clone());
  EXPECT_THAT(error(), HasSubstr("rope_freqs.weight has another form"));
  writer_.erase_tensor("rope_freqs.weight");
  writer_.add("rope_freqs.weight", {3, 2}, std::move(other));
  EXPECT_FALSE(error().empty());
}

TEST_F(GgufModelDefects, PublishedLlama3Scaling) {
  RopeConfig published;
  published.theta = 500000;
  published.rotary_dim = 12;
  published.scaling = RopeScaling::llama3;
  published.factor = 32;
  published.low_freq_factor = 1;
  published.high_freq_factor = 4;
  published.original_positions = 8192;
  writer_.erase_tensor("rope_freqs.weight");
  writer_.add("rope_freqs.weight", {6}, testing::llama3_divisors(published));
  EXPECT_EQ(open().config_json.at("rope_scaling"), nlohmann::json({{"rope_type", "llama3"},
                                                                   {"factor", 32.0},
                                                                   {"low_freq_factor", 1.0},
                                                                   {"high_freq_factor", 4.0},
                                                                   {"original_max_position_embeddings", 8192}}));
}

TEST_F(GgufModelDefects, UnpublishedLlama3Scaling) {
  RopeConfig other;
  other.theta = 50;
  other.rotary_dim = 12;  // wavelengths 6.3, 12.1, 23.1, 44.4, 85.3, 163.7: three lie between 100 / 5 and 100
  other.scaling = RopeScaling::llama3;
  other.factor = 4;
  other.low_freq_factor = 1;
  other.high_freq_factor = 5;
  other.original_positions = 100;
  writer_.set("llama.rope.freq_base", 50.0f);
  writer_.erase_tensor("rope_freqs.weight");
  writer_.add("rope_freqs.weight", {6}, testing::llama3_divisors(other));
  const nlohmann::json scaling = open().config_json.at("rope_scaling");
  EXPECT_EQ(scaling.at("high_freq_factor"), 5.0);
  EXPECT_EQ(scaling.at("original_max_position_embeddings"), 100);
  EXPECT_EQ(scaling.at("factor"), 4.0);
}

TEST_F(GgufModelDefects, LinearScaling) {
  writer_.erase_tensor("rope_freqs.weight");
  writer_.set("llama.rope.scaling.type", std::string("linear"));
  writer_.set("llama.rope.scaling.factor", 2.5f);
  EXPECT_EQ(open().config_json.at("rope_scaling").at("rope_type"), "linear");
  EXPECT_EQ(open().config_json.at("rope_scaling").at("factor"), 2.5);
  open_model(folder_ / "x.gguf");
  writer_.set("llama.rope.scaling.type", std::string("yarn"));
  EXPECT_THAT(error(), HasSubstr("llama.rope.scaling.type is \"yarn\""));
  writer_.set("llama.rope.scaling.type", std::string("none"));
  EXPECT_TRUE(open().config_json.at("rope_scaling").is_null());
}

TEST_F(GgufModelDefects, EpsilonIsWhatTheFileSays) {
  writer_.set("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  EXPECT_EQ(open().config_json.at("rms_norm_eps").dump(), "1e-05");  // not 9.99999974e-06
}

TEST_F(GgufModelDefects, UnknownThingsAreNamed) {
  writer_.set("general.architecture", std::string("mamba"));
  EXPECT_THAT(error(), HasSubstr("general.architecture is \"mamba\"; expected llama, qwen2, qwen3"));
  writer_.set("general.architecture", std::string("llama"));
  writer_.set("llama.expert_count", std::uint32_t{8});
  EXPECT_THAT(error(), HasSubstr("a mixture of 8 experts"));
  writer_.erase("llama.expert_count");
  for (const char* name :
       {"blk.0.attn_sinks.weight", "blk.99.attn_q.weight", "blk..attn_q.weight", "blk.0.attn_q.scale", "blk.0",
        "v.patch_embd.weight", "blk.18446744073709551616.attn_q.weight"}) {
    writer_.add(name, {3}, Matrix(3, 1));
    EXPECT_THAT(error(), HasSubstr(std::string("does not have: \"") + name));
    writer_.erase_tensor(name);
  }
  for (const char* key : {"llama.block_count", "llama.embedding_length", "llama.attention.layer_norm_rms_epsilon"}) {
    testing::GgufWriter without = writer_.clone();
    without.erase(key);
    without.write(folder_ / "without.gguf");
    EXPECT_THAT(error_of([&] { open_gguf_model(folder_ / "without.gguf"); }),
                HasSubstr(std::string("no metadata \"") + key));
  }
}

TEST_F(GgufModelDefects, SizesThatDisagree) {
  writer_.set("llama.attention.head_count", std::uint32_t{3});
  EXPECT_THAT(error(), HasSubstr("3 query heads and 2 key-value heads"));
  writer_.set("llama.attention.head_count", std::uint32_t{0});
  EXPECT_THAT(error(), HasSubstr("head_count is 0"));
  writer_.set("llama.attention.head_count", std::uint32_t{2});
  EXPECT_THAT(error(), HasSubstr("rows; expected"));
  writer_.set("llama.attention.head_count", std::uint32_t{4});
  writer_.set("llama.rope.dimension_count", std::uint32_t{6});
  EXPECT_THAT(error(), HasSubstr("rotary embeddings of 6 of 12 dimensions"));
}

TEST(GgufNumbers, ShortestDecimal) {
  EXPECT_EQ(shortest_decimal(static_cast<double>(1e-5f)), 1e-5);
  EXPECT_EQ(shortest_decimal(static_cast<double>(100000.0f)), 100000.0);
  EXPECT_EQ(shortest_decimal(0.1), 0.1);  // no float32
  EXPECT_EQ(shortest_decimal(3.99999, 4), 4.0);
}

TEST(SlowGgufModel, SmolLM2HasTheConfigOfItsReference) {
  const auto gguf = testing::source_folder() / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf";
  const auto reference = testing::source_folder() / "models" / "smollm2-reference" / "config.json";
  LCOMP_REQUIRE(gguf);
  LCOMP_REQUIRE(reference);
  const GgufModel model = open_gguf_model(gguf);
  const nlohmann::json expected = parse_json_file(reference);
  for (const auto& [key, value] : model.config_json.items()) EXPECT_EQ(value, expected.at(key)) << key;
  EXPECT_EQ(open_model(gguf).parameters(), 134515008u);
  // Large enough that its pages are given back after each reading: the second one must give the same.
  const Matrix once = model.tensors->read("model.embed_tokens.weight");
  const Matrix twice = model.tensors->read("model.embed_tokens.weight");
  EXPECT_TRUE(std::ranges::equal(once.span(), twice.span()));
}

}  // namespace
}  // namespace lcomp
