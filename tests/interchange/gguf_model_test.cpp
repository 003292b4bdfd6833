#include "lcomp/interchange/gguf_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "interchange/gguf_number.h"
#include "lcomp/core/error.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/models/model_folder.h"
#include "support/error_message.h"
#include "support/gguf_of_model.h"
#include "support/golden_model.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAreArray;
using testing::golden;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

struct Case {
  const char* name;
  const char* family;
  const char* architecture;
  testing::GgufStyle style = {};
};

void expect_same(const RopeConfig& a, const RopeConfig& b) {
  EXPECT_EQ(a.theta, b.theta);
  EXPECT_EQ(a.rotary_dim, b.rotary_dim);
  EXPECT_EQ(a.scaling, b.scaling);
  EXPECT_EQ(a.factor, b.factor);
  EXPECT_EQ(a.low_freq_factor, b.low_freq_factor);
  EXPECT_EQ(a.high_freq_factor, b.high_freq_factor);
  EXPECT_EQ(a.original_positions, b.original_positions);
  EXPECT_EQ(a.short_factors, b.short_factors);
  EXPECT_EQ(a.long_factors, b.long_factors);
  EXPECT_EQ(a.attention_factor, b.attention_factor);
}

void expect_same(const DecoderConfig& a, const DecoderConfig& b) {
  EXPECT_EQ(a.family, b.family);
  EXPECT_EQ(a.vocab_size, b.vocab_size);
  EXPECT_EQ(a.hidden_size, b.hidden_size);
  EXPECT_EQ(a.intermediate_size, b.intermediate_size);
  EXPECT_EQ(a.num_attention_heads, b.num_attention_heads);
  EXPECT_EQ(a.num_key_value_heads, b.num_key_value_heads);
  EXPECT_EQ(a.head_dim, b.head_dim);
  EXPECT_EQ(a.max_positions, b.max_positions);
  EXPECT_EQ(a.norm, b.norm);
  EXPECT_EQ(a.norm_epsilon, b.norm_epsilon);
  EXPECT_EQ(a.activation, b.activation);
  EXPECT_EQ(a.attention_scale, b.attention_scale);
  EXPECT_EQ(a.attention_softcap, b.attention_softcap);
  EXPECT_EQ(a.final_softcap, b.final_softcap);
  EXPECT_EQ(a.tied_head, b.tied_head);
  EXPECT_EQ(a.num_experts, b.num_experts);
  EXPECT_EQ(a.experts_per_token, b.experts_per_token);
  ASSERT_EQ(a.ropes.size(), b.ropes.size());
  for (std::size_t i = 0; i < a.ropes.size(); ++i) expect_same(a.ropes[i], b.ropes[i]);
  ASSERT_EQ(a.num_layers(), b.num_layers());
  for (std::size_t i = 0; i < a.num_layers(); ++i) {
    EXPECT_EQ(a.layers[i].rope, b.layers[i].rope);
    EXPECT_EQ(a.layers[i].sliding_window, b.layers[i].sliding_window);
  }
}

class GgufModelTest : public ::testing::TestWithParam<Case> {
 protected:
  std::filesystem::path folder() const { return golden(std::string("families/") + GetParam().family); }
};

// Written as llama.cpp's converter does and read back: the same config where it matters, the same values in every
// tensor (a gain stored as 1 + w loses at most half a unit of 1's last place), the same logits as the reference (2e-4
// of the largest, as in family_golden_test.cpp).
TEST_P(GgufModelTest, GivesTheHuggingFaceModelBack) {
  LCOMP_REQUIRE(folder());
  const ModelFolder original = open_model(folder());
  const TemporaryFolder temporary;
  testing::as_gguf(original, GetParam().architecture, GetParam().style).write(temporary / "model.gguf");
  const ModelFolder model = open_model(temporary / "model.gguf");
  expect_same(model.config, original.config);
  for (const char* key : {"model_type", "architectures", "hidden_act", "tie_word_embeddings", "bos_token_id",
                          "eos_token_id", "rms_norm_eps", "rope_theta"}) {
    if (original.config_json.contains(key)) {
      EXPECT_EQ(model.config_json.at(key), original.config_json.at(key)) << key;
    }
  }
  EXPECT_EQ(model.parameters(), original.parameters());
  EXPECT_EQ(model.stored_bytes(), 4 * original.parameters());
  ASSERT_EQ(model.tensors->tensors().size(), original.tensors->tensors().size());
  for (const TensorInfo& tensor : original.tensors->tensors()) {
    EXPECT_EQ(model.tensors->info(tensor.name).shape, tensor.shape) << tensor.name;
    const Matrix values = model.tensors->read(tensor.name), expected = original.tensors->read(tensor.name);
    if (original.config.norm == NormKind::rms_plus_one && tensor.name.ends_with("norm.weight")) {
      EXPECT_THAT(values.span(), ::testing::Pointwise(::testing::FloatNear(1.2e-7f), expected.span())) << tensor.name;
    } else {
      EXPECT_THAT(values.span(), ElementsAreArray(expected.span())) << tensor.name;
    }
  }

  Decoder decoder(open_model(temporary / "model.gguf"));
  for (const char* name : {"io.safetensors", "io_long.safetensors"}) {
    if (!std::filesystem::exists(folder() / name)) continue;
    const SafetensorsFile io(folder() / name);
    const TokenBatch batch = testing::read_batch(io, "input_ids");
    Matrix logits(batch.tokens(), decoder.config().vocab_size);
    decoder.logits(decoder.forward(batch).view(), logits.view());
    const Matrix expected = testing::read_matrix(io, "logits", decoder.config().vocab_size);
    EXPECT_LT(testing::relative_difference(logits.view(), expected.view()), 2e-4) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GgufModelTest,
                         ::testing::Values(Case{"gemma", "gemma", "gemma"}, Case{"gemma2", "gemma2", "gemma2"},
                                           Case{"gemma3", "gemma3", "gemma3"}, Case{"llama2", "llama2", "llama"},
                                           Case{"llama3", "llama3", "llama"}, Case{"llamatied", "llama-tied", "llama"},
                                           Case{"mistral", "mistral", "llama"}, Case{"mixtral", "mixtral", "llama"},
                                           Case{"mixtral_one_by_one", "mixtral", "llama", {.expert_stacks = false}},
                                           Case{"phi2", "phi", "phi2"},
                                           Case{"phi2_fused", "phi", "phi2", {.fused_phi2 = true}},
                                           Case{"phi3", "phi3", "phi3"}, Case{"phi3_longrope", "phi3-longrope", "phi3"},
                                           Case{"qwen2", "qwen2", "qwen2"}, Case{"qwen3", "qwen3", "qwen3"}),
                         [](const auto& test) { return std::string(test.param.name); });

// What llama.cpp's files leave out is what llama.cpp assumes for the published sizes.
TEST(GgufModel, WhatTheFileDoesNotSayIsWhatLlamaCppAssumes) {
  LCOMP_REQUIRE(golden("families/gemma3"));
  const TemporaryFolder folder;
  const auto opened = [&](const std::string& family, const std::string& architecture,
                          const std::function<void(testing::GgufWriter&)>& change) {
    testing::GgufWriter writer =
        testing::as_gguf(open_model(golden("families/" + family)), architecture, {.all_keys = false});
    change(writer);
    writer.write(folder / "x.gguf");
    return open_model(folder / "x.gguf").config;
  };
  const auto nothing = [](testing::GgufWriter&) {};
  // No sliding window in the architecture llama: a Mistral of it is a Llama.
  const DecoderConfig mistral = opened("mistral", "llama", nothing);
  EXPECT_EQ(mistral.family, "llama");
  EXPECT_FALSE(mistral.layers[0].sliding_window);

  const DecoderConfig gemma2 = opened("gemma2", "gemma2", nothing);
  EXPECT_DOUBLE_EQ(gemma2.attention_scale, 1 / std::sqrt(20.0));  // head_dim
  EXPECT_EQ(gemma2.layers[2].sliding_window, 8u);
  EXPECT_FALSE(gemma2.layers[3].sliding_window);
  const DecoderConfig default_caps = opened("gemma2", "gemma2", [](testing::GgufWriter& writer) {
    writer.erase("gemma2.attn_logit_softcapping");
    writer.erase("gemma2.final_logit_softcapping");
  });
  EXPECT_EQ(default_caps.attention_softcap, 50);
  EXPECT_EQ(default_caps.final_softcap, 30);

  const DecoderConfig gemma3 = opened("gemma3", "gemma3", nothing);
  EXPECT_DOUBLE_EQ(gemma3.attention_scale, 1 / std::sqrt(20.0));
  EXPECT_EQ(gemma3.ropes[1].theta, 10000);
  for (const LayerConfig& layer : gemma3.layers) EXPECT_EQ(layer.sliding_window, 8u);  // the sixth would be full
  const DecoderConfig period = opened("gemma3", "gemma3", [](testing::GgufWriter& writer) {
    writer.set("gemma3.attention.sliding_window_pattern", std::uint32_t{2});
    writer.set("gemma3.rope.scaling.type", std::string("linear"));
    writer.set("gemma3.rope.scaling.factor", 8.0f);
  });
  EXPECT_TRUE(period.layers[2].sliding_window);
  EXPECT_FALSE(period.layers[3].sliding_window);
  EXPECT_EQ(period.ropes[0].factor, 8);  // of the full layers only
  EXPECT_EQ(period.ropes[1].scaling, RopeScaling::none);

  const DecoderConfig phi3 =
      opened("phi3", "phi3", [](testing::GgufWriter& writer) { writer.erase("phi3.attention.sliding_window"); });
  EXPECT_FALSE(phi3.layers[0].sliding_window);
}

TEST(GgufModel, TheLargestGemmasScaleByTheirHiddenSize) {
  LCOMP_REQUIRE(golden("families/gemma2"));
  const TemporaryFolder folder;
  for (const auto& [family, layers] : {std::pair{"gemma2", 46u}, {"gemma3", 62u}}) {
    testing::GgufWriter writer =
        testing::as_gguf(open_model(golden(std::string("families/") + family)), family, {.all_keys = false});
    writer.set(std::string(family) + ".block_count", std::uint32_t{layers});
    writer.write(folder / "x.gguf");
    EXPECT_EQ(open_gguf_model(folder / "x.gguf").config_json.at("query_pre_attn_scalar"), 12) << family;  // 48 / 4
  }
}

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
    return testing::message([&] { open(); });
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
  EXPECT_NE(error(), "no error");
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
  EXPECT_THAT(error(),
              HasSubstr("general.architecture is \"mamba\"; expected gemma, gemma2, gemma3, llama, phi2, phi3, qwen2, "
                        "qwen3"));
  writer_.set("general.architecture", std::string("llama"));
  for (const auto& [key, value] :
       {std::pair{"llama.logit_scale", 2.0f}, {"llama.attention.scale", 0.5f}, {"llama.expert_shared_count", 1.0f}}) {
    writer_.set(key, value);
    EXPECT_THAT(error(), AllOf(HasSubstr(key), HasSubstr("changes the computation")));
    writer_.set(key, 0.0f);
    EXPECT_EQ(error(), "no error");
    writer_.erase(key);
  }
  writer_.set("llama.attention.causal", false);
  EXPECT_THAT(error(), HasSubstr("llama.attention.causal"));
  writer_.erase("llama.attention.causal");
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
    EXPECT_THAT(testing::message([&] { open_gguf_model(folder_ / "without.gguf"); }),
                HasSubstr(std::string("no metadata \"") + key));
  }
}

TEST_F(GgufModelDefects, ManyUnknownTensorsAreNotAllWrittenOut) {
  for (int i = 0; i < 20; ++i) writer_.add("v.blk." + std::to_string(i) + ".weight", {3}, Matrix(3, 1));
  EXPECT_THAT(error(), HasSubstr("and 12 more"));
}

TEST_F(GgufModelDefects, PartsOfATensorThatDoNotFit) {
  const auto refused = [&](const char* family, const char* architecture, testing::GgufStyle style,
                           const std::function<void(testing::GgufWriter&)>& change) {
    writer_ = testing::as_gguf(open_model(golden(std::string("families/") + family)), architecture, style);
    change(writer_);
    writer_.write(folder_ / "x.gguf");
    return testing::message([&] { open_model(folder_ / "x.gguf"); });
  };
  using Writer = testing::GgufWriter;
  EXPECT_THAT(refused("mixtral", "llama", {},
                      [](Writer& w) {
                        w.erase_tensor("blk.1.ffn_up_exps.weight");
                        w.add("blk.1.ffn_up_exps.weight", {5, 40, 32}, Matrix(5 * 40 * 32, 1));
                      }),
              HasSubstr("\"blk.1.ffn_up_exps.weight\" is [5, 40, 32]; expected a matrix for each of the 6 experts"));
  EXPECT_THAT(refused("mixtral", "llama", {}, [](Writer& w) { w.erase_tensor("blk.2.ffn_down_exps.weight"); }),
              AllOf(HasSubstr("6 tensors"), HasSubstr("experts.5.w2.weight\" [32, 40] is missing")));
  EXPECT_THAT(refused("mixtral", "llama", {}, [](Writer& w) { w.set("llama.expert_used_count", std::uint32_t{7}); }),
              HasSubstr("num_experts_per_tok"));
  EXPECT_THAT(refused("mixtral", "llama", {}, [](Writer& w) { w.erase("llama.expert_used_count"); }),
              HasSubstr("llama.expert_used_count"));
  EXPECT_THAT(refused("mixtral", "llama", {}, [](Writer& w) { w.erase("llama.expert_count"); }),
              HasSubstr("\"blk.0.ffn_down_exps.weight\""));
  EXPECT_THAT(refused("mixtral", "llama", {.expert_stacks = false},
                      [](Writer& w) {
                        w.add("blk.0.ffn_up.6.weight", {40, 32}, Matrix(40, 32));
                      }),
              HasSubstr("does not have: \"blk.0.ffn_up.6.weight\""));
  EXPECT_THAT(refused("mixtral", "llama", {},
                      [](Writer& w) {
                        w.add("blk.0.ffn_up.1.weight", {40, 32}, Matrix(40, 32));
                      }),
              HasSubstr("does not have: \"blk.0.ffn_up_exps.weight\""));  // twice
  EXPECT_THAT(refused("phi", "phi2", {.fused_phi2 = true},
                      [](Writer& w) {
                        w.erase_tensor("blk.0.attn_qkv.bias");
                        w.add("blk.0.attn_qkv.bias", {120}, Matrix(120, 1));
                      }),
              HasSubstr("\"blk.0.attn_qkv.bias\" is [120]; expected 180 rows"));
  EXPECT_THAT(refused("phi", "phi2", {}, [](Writer& w) { w.set("phi2.rope.dimension_count", std::uint32_t{7}); }),
              HasSubstr("rotary embeddings of 7 of 20 dimensions; expected an even number"));
  EXPECT_THAT(refused("phi3-longrope", "phi3", {}, [](Writer& w) { w.erase_tensor("rope_factors_short.weight"); }),
              HasSubstr("no tensor \"rope_factors_short.weight\""));
  EXPECT_THAT(refused("phi3-longrope", "phi3", {},
                      [](Writer& w) {
                        w.erase_tensor("rope_factors_long.weight");
                        w.add("rope_factors_long.weight", {5}, Matrix(5, 1));
                      }),
              HasSubstr("\"rope_factors_long.weight\" has 5 values; expected 6"));
  EXPECT_THAT(refused("gemma3", "gemma3", {},
                      [](Writer& w) {
                        w.set("gemma3.attention.sliding_window_pattern", std::vector<std::int32_t>{1, 1});
                      }),
              HasSubstr("sliding_window_pattern has 2 items; expected 4"));
  EXPECT_THAT(refused("gemma3", "gemma3", {}, [](Writer& w) { w.set("gemma3.block_count", std::uint32_t{5000}); }),
              HasSubstr("gemma3.block_count is 5000; expected 1 to 1000"));
}

TEST_F(GgufModelDefects, LongropesFactorIsWhatTheFileSays) {
  const ModelFolder original = open_model(golden("families/phi3-longrope"));
  writer_ = testing::as_gguf(original, "phi3");
  EXPECT_FALSE(open().config_json.at("rope_scaling").contains("attention_factor"));  // as Hugging Face computes it
  writer_.set("phi3.rope.scaling.attn_factor", 1.5f);
  EXPECT_EQ(open().config_json.at("rope_scaling").at("attention_factor"), 1.5);
  writer_.erase("phi3.rope.scaling.attn_factor");
  EXPECT_EQ(open().config_json.at("rope_scaling").at("attention_factor"), 1.0);
}

TEST_F(GgufModelDefects, AnyPieceOfAnExpert) {
  const ModelFolder original = open_model(golden("families/mixtral"));
  writer_ = testing::as_gguf(original, "llama");
  const GgufModel model = open();
  const std::string name = "model.layers.1.block_sparse_moe.experts.4.w2.weight";
  const Matrix whole = original.tensors->read(name);
  for (std::size_t begin = 0; begin < whole.rows(); begin += 5) {
    const std::size_t count = std::min<std::size_t>(7, whole.rows() - begin);
    Matrix piece(count, whole.cols());
    model.tensors->read_rows(name, begin, count, piece.span());
    EXPECT_THAT(piece.span(), ElementsAreArray(whole.span().subspan(begin * whole.cols(), piece.size())));
  }
  Matrix piece(2, whole.cols());
  EXPECT_THROW(model.tensors->read_rows(name, whole.rows() - 1, 2, piece.span()), Error);  // not the next expert's
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
