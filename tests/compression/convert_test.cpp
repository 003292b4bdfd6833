#include "lcomp/compression/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "compression/regauge.h"
#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/rng.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/models/model_folder.h"
#include "support/error_message.h"
#include "support/gguf_of_model.h"
#include "support/golden_model.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::Each;
using ::testing::ElementsAreArray;
using testing::golden;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

ConvertOptions options_for(DenseType type, bool fold, std::optional<std::uint64_t> seed) {
  ConvertOptions options;
  options.dtype = type;
  options.fold_norms = fold;
  options.regauge_seed = seed;
  return options;
}

Matrix logits_of(const std::filesystem::path& path, const TokenBatch& batch) {
  Decoder decoder(open_model(path));
  Matrix logits(batch.tokens(), decoder.config().vocab_size);
  decoder.logits(decoder.forward(batch).view(), logits.view());
  return logits;
}

class ConvertFamily : public ::testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path folder() const { return golden(std::string("families/") + GetParam()); }

  // The largest difference to the reference's logits, relative to the largest of them.
  double error_after(const ConvertOptions& options) {
    const SafetensorsFile io(folder() / "io.safetensors");
    const TokenBatch batch = testing::read_batch(io, "input_ids");
    convert_model(folder(), temporary_ / "out", options);
    const Matrix logits = logits_of(temporary_ / "out", batch);
    return testing::relative_difference(logits.view(), testing::read_matrix(io, "logits", logits.cols()).view());
  }

  TemporaryFolder temporary_;
};

// 2e-4 of the largest logit is what family_golden_test.cpp allows the unchanged model.
constexpr double kTolerance = 2e-4;

TEST_P(ConvertFamily, PlainConversionKeepsEveryBit) {
  LCOMP_REQUIRE(folder());
  convert_model(folder(), temporary_ / "out", options_for(DenseType::f32, false, std::nullopt));
  const ModelFolder before = open_model(folder());
  const ModelFolder after = open_model(temporary_ / "out");
  ASSERT_EQ(after.tensors->tensors().size(), before.tensors->tensors().size());
  for (const TensorInfo& tensor : before.tensors->tensors()) {
    EXPECT_EQ(after.tensors->info(tensor.name).shape, tensor.shape);
    EXPECT_THAT(after.tensors->read(tensor.name).span(), ElementsAreArray(before.tensors->read(tensor.name).span()));
  }
  nlohmann::json config = after.config_json;
  EXPECT_EQ(config["torch_dtype"], "float32");
  config["torch_dtype"] = before.config_json.at("torch_dtype");
  EXPECT_EQ(config, before.config_json);
}

TEST_P(ConvertFamily, FoldedNormsKeepTheFunction) {
  LCOMP_REQUIRE(folder());
  EXPECT_LT(error_after(options_for(DenseType::f32, true, std::nullopt)), kTolerance);
  const ModelFolder after = open_model(temporary_ / "out");
  const float neutral = after.config.norm == NormKind::rms_plus_one ? 0 : 1;
  for (const BlockSlices& block : after.slices.blocks) {
    EXPECT_THAT(after.tensors->read(block.input_norm.gain.tensor).span(), Each(neutral));
    EXPECT_THAT(after.tensors->read(block.pre_mlp_norm.gain.tensor).span(), Each(neutral));
  }
  const Matrix final_gain = after.tensors->read(after.slices.final_norm.gain.tensor);
  if (after.config.tied_head) {
    EXPECT_THAT(final_gain.span(),
                ElementsAreArray(open_model(folder()).tensors->read(after.slices.final_norm.gain.tensor).span()));
  } else {
    EXPECT_THAT(final_gain.span(), Each(neutral));
  }
}

TEST_P(ConvertFamily, RegaugeKeepsTheFunctionAndChangesTheWeights) {
  LCOMP_REQUIRE(folder());
  const ModelFolder before = open_model(folder());
  if (before.config.query_key_norm) {
    EXPECT_THAT(testing::message([&] { error_after(options_for(DenseType::f32, false, 1)); }),
                HasSubstr("norms of single heads"));
    return;
  }
  EXPECT_LT(error_after(options_for(DenseType::f32, false, 1)), kTolerance);
  const ModelFolder after = open_model(temporary_ / "out");
  const BlockSlices& block = before.slices.blocks[1];
  for (const LinearSlices* linear : {&block.query, &block.value, &block.output}) {
    const std::string& name = linear->weight.tensor;
    EXPECT_GT(testing::relative_difference(after.tensors->read(name).view(), before.tensors->read(name).view()), 0.05)
        << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ConvertFamily,
                         ::testing::Values("llama2", "llama3", "llama-tied", "mistral", "mixtral", "gemma", "gemma2",
                                           "gemma3", "phi3", "phi3-longrope", "qwen2", "qwen3"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(ConvertGguf, GivesTheSameAsItsHuggingFaceFolder) {
  for (const std::string family : {"llama2", "llama3", "llama-tied", "qwen2"}) {
    const auto source = golden("families/" + family);
    LCOMP_REQUIRE(source);
    const TemporaryFolder folder;
    testing::as_gguf(open_model(source), family == "qwen2" ? "qwen2" : "llama").write(folder / "x.gguf");
    convert_model(folder / "x.gguf", folder / "a", options_for(DenseType::f32, true, 5));
    convert_model(source, folder / "b", options_for(DenseType::f32, true, 5));
    EXPECT_TRUE(read_text_file(folder / "a/model.safetensors") == read_text_file(folder / "b/model.safetensors"))
        << family;
    EXPECT_EQ(parse_json_file(folder / "a/generation_config.json"),
              (nlohmann::json{{"bos_token_id", 1}, {"eos_token_id", 2}}));
  }
}

TEST(ConvertPhi, LayerNormIsNotFolded) {
  const auto source = golden("families/phi");
  LCOMP_REQUIRE(source);
  const TemporaryFolder folder;
  EXPECT_THAT(
      testing::message([&] { convert_model(source, folder / "out", options_for(DenseType::f32, true, std::nullopt)); }),
      HasSubstr("folding the norms of a phi model: it has LayerNorm"));
  EXPECT_THAT(testing::message([&] { convert_model(source, folder / "out", options_for(DenseType::f32, false, 1)); }),
              HasSubstr("LayerNorm"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  convert_model(source, folder / "out", options_for(DenseType::f32, false, std::nullopt));
  EXPECT_EQ(open_model(folder / "out").parameters(), open_model(source).parameters());
}

class Convert : public ::testing::Test {
 protected:
  void SetUp() override { LCOMP_REQUIRE(source_); }

  std::filesystem::path source_ = golden("families/llama3");
  TemporaryFolder folder_;
};

TEST_F(Convert, TheSameSeedGivesTheSameBytes) {
  convert_model(source_, folder_ / "a", options_for(DenseType::f16, false, 7));
  convert_model(source_, folder_ / "b", options_for(DenseType::f16, false, 7));
  convert_model(source_, folder_ / "c", options_for(DenseType::f16, false, 8));
  const std::string a = read_text_file(folder_ / "a/model.safetensors");
  EXPECT_TRUE(a == read_text_file(folder_ / "b/model.safetensors"));
  EXPECT_FALSE(a == read_text_file(folder_ / "c/model.safetensors"));
}

// Each 16-bit weight is as near to the exact one as a 16-bit number can be: rounding twice would miss that for a few in
// ten thousand.
TEST_F(Convert, SixteenBitWeightsAreRoundedOnce) {
  const ModelFolder before = open_model(source_);
  const TensorChanges changes = plan_changes(before, false, 3);
  for (const DenseType type : {DenseType::f16, DenseType::bf16}) {
    ConvertOptions options = options_for(type, false, 3);
    options.replace = true;
    convert_model(source_, folder_ / "out", options);
    const ModelFolder after = open_model(folder_ / "out");
    const auto decode = [&](int bits) {
      const auto pattern = static_cast<std::uint16_t>(bits);
      return static_cast<double>(type == DenseType::f16 ? half_to_float(pattern) : bfloat16_to_float(pattern));
    };
    for (const auto& [name, parts] : changes) {
      const Matrix original = before.tensors->read(name);
      const Matrix stored = after.tensors->read(name);
      std::vector<double> exact(original.span().begin(), original.span().end());
      for (const TensorChange& change : parts) {
        apply_change(change, change.row_begin, original.cols(),
                     std::span(exact).subspan(change.row_begin * original.cols(), change.rows * original.cols()));
      }
      for (std::size_t i = 0; i < exact.size(); ++i) {
        const float value = stored.data()[i];
        const int bits = type == DenseType::f16 ? float_to_half(value) : float_to_bfloat16(value);
        const double distance = std::abs(static_cast<double>(value) - exact[i]);
        for (const int neighbour : {bits - 1, bits + 1})
          ASSERT_LE(distance, std::abs(decode(neighbour) - exact[i])) << name;
      }
    }
  }
}

TEST_F(Convert, TypesAreNamedInTheConfig) {
  convert_model(source_, folder_ / "f16", {});
  EXPECT_EQ(parse_json_file(folder_ / "f16/config.json").at("torch_dtype"), "float16");
  convert_model(source_, folder_ / "bf16", options_for(DenseType::bf16, false, std::nullopt));
  EXPECT_EQ(parse_json_file(folder_ / "bf16/config.json").at("torch_dtype"), "bfloat16");
  EXPECT_EQ(open_model(folder_ / "bf16").tensors->tensors().front().stored_as, "BF16");
}

TEST_F(Convert, CompanionFilesAreCopied) {
  std::filesystem::copy(source_, folder_ / "model");
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json", "tokenizer.model",
                           "special_tokens_map.json"}) {
    write_text_file(folder_ / "model" / name, std::string("contents of ") + name);
  }
  write_text_file(folder_ / "model/README.md", "not part of the model");
  convert_model(folder_ / "model", folder_ / "out", {});
  EXPECT_EQ(read_text_file(folder_ / "out/tokenizer.json"), "contents of tokenizer.json");
  EXPECT_EQ(read_text_file(folder_ / "out/special_tokens_map.json"), "contents of special_tokens_map.json");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/README.md"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "out/model.safetensors"));
}

TEST_F(Convert, AnExistingFolderIsReplacedOnlyWhenAsked) {
  std::filesystem::create_directory(folder_ / "out");
  write_text_file(folder_ / "out/mine", "x");
  EXPECT_NE(testing::message([&] { convert_model(source_, folder_ / "out", {}); }), "no error");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "out/mine"));
  ConvertOptions options;
  options.replace = true;
  convert_model(source_, folder_ / "out", options);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/mine"));
}

TEST_F(Convert, InterruptedItLeavesNothing) {
  EXPECT_THROW(convert_model(source_, folder_ / "out", {},
                             [](const ProgressEvent& event) {
                               if (event.done == 5) throw Interrupted();
                             }),
               Interrupted);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(Convert, RefusesChangesOfTheFunction) {
  ModelFolder model = open_model(source_);
  model.config.query_key_norm = true;
  plan_changes(model, true, std::nullopt);  // folding is fine
  EXPECT_THAT(testing::message([&] { plan_changes(model, false, 1); }), HasSubstr("norms of single heads"));
  model.config.query_key_norm = false;
  model.config.gated_mlp = false;
  EXPECT_THAT(testing::message([&] { plan_changes(model, false, 1); }), HasSubstr("MLP without gate"));
  model.config.gated_mlp = true;
  model.config.norm = NormKind::layer;
  EXPECT_THAT(testing::message([&] { plan_changes(model, true, std::nullopt); }), HasSubstr("LayerNorm"));
}

// A norm that multiplies by 1 + w: the columns get 1 + w, and w becomes 0.
TEST_F(Convert, GainsPlusOne) {
  ModelFolder model = open_model(source_);
  model.config.norm = NormKind::rms_plus_one;
  const TensorChanges changes = plan_changes(model, true, std::nullopt);
  const Matrix gain = model.tensors->read("model.layers.0.input_layernorm.weight");
  EXPECT_EQ(changes.at("model.layers.0.input_layernorm.weight")[0].constant, 0.0);
  EXPECT_EQ((*changes.at("model.layers.0.self_attn.q_proj.weight")[0].column_factors)[3],
            1 + static_cast<double>(gain(3, 0)));
}

// Biases of every linear, which the golden models of this family lack: made up here, then regauged.
TEST_F(Convert, BiasesAreChangedWithTheirLinears) {
  const ModelFolder plain = open_model(source_);
  std::filesystem::create_directory(folder_ / "biased");
  nlohmann::json config = plain.config_json;
  config["attention_bias"] = config["mlp_bias"] = true;
  write_text_file(folder_ / "biased/config.json", config.dump());
  std::vector<SafetensorsDeclaration> tensors;
  for (const TensorInfo& tensor : plain.tensors->tensors()) {
    tensors.push_back({tensor.name, DataType::f32, tensor.shape});
    if (tensor.name.ends_with("_proj.weight")) {
      tensors.push_back({tensor.name.substr(0, tensor.name.size() - 6) + "bias", DataType::f32, {tensor.shape[0]}});
    }
  }
  {
    SafetensorsWriter writer(folder_ / "biased/model.safetensors", tensors);
    Rng rng(11);
    for (const SafetensorsDeclaration& tensor : tensors) {
      Matrix values(tensor.shape[0], tensor.shape.size() == 1 ? 1 : tensor.shape[1]);
      for (float& value : values.span()) value = static_cast<float>(0.3 * rng.normal());
      if (plain.tensors->find(tensor.name) != nullptr) values = plain.tensors->read(tensor.name);
      writer.write_float(tensor.name, values.span());
    }
    writer.finish();
  }
  const TokenBatch batch = testing::read_batch(SafetensorsFile(source_ / "io.safetensors"), "input_ids");
  const Matrix expected = logits_of(folder_ / "biased", batch);
  EXPECT_GT(testing::relative_difference(expected.view(), logits_of(source_, batch).view()),
            0.01);  // they do something
  convert_model(folder_ / "biased", folder_ / "out", options_for(DenseType::f32, false, 13));
  EXPECT_LT(testing::relative_difference(logits_of(folder_ / "out", batch).view(), expected.view()), kTolerance);
}

// The rotary embedding of one head, position t, frequencies 1000^(-2i/d) on the first d dimensions.
std::vector<double> rotated(std::span<const double> head, std::size_t rotary_dim, double t) {
  std::vector<double> out(head.begin(), head.end());
  const std::size_t half = rotary_dim / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const double angle = t * std::pow(1000.0, -static_cast<double>(i) / static_cast<double>(half));
    out[i] = std::cos(angle) * head[i] - std::sin(angle) * head[i + half];
    out[i + half] = std::sin(angle) * head[i] + std::cos(angle) * head[i + half];
  }
  return out;
}

// Partial rotary embeddings, grouped heads: scores q . k of every query head with its key head, at two positions, stay
// the same.
TEST(Regauge, TurnedPairsCommuteWithPartialRotaryEmbeddings) {
  constexpr std::size_t kHeadDim = 10, kRotaryDim = 6, kGroup = 3, kKeyHeads = 2;
  Rng rng(1);
  TensorChange change;
  change.head_dim = kHeadDim;
  change.rotary_dim = kRotaryDim;
  for (std::size_t i = 0; i < kKeyHeads * kRotaryDim / 2; ++i) change.angles.push_back(rng.uniform(0, 6));
  TensorChange of_query = change, of_key = change;
  of_query.heads_per_angle = kGroup;
  of_query.rows = kGroup * kKeyHeads * kHeadDim;
  of_key.rows = kKeyHeads * kHeadDim;
  std::vector<double> query(of_query.rows), key(of_key.rows);
  for (auto* vector : {&query, &key}) {
    for (double& value : *vector) value = rng.normal();
  }
  std::vector<double> new_query = query, new_key = key;
  apply_change(of_query, 0, 1, new_query);
  apply_change(of_key, 0, 1, new_key);
  EXPECT_GT(std::abs(new_query[0] - query[0]), 1e-3);
  EXPECT_EQ(new_query[kRotaryDim], query[kRotaryDim]);
  const auto score = [&](const std::vector<double>& q, const std::vector<double>& k, std::size_t head) {
    const auto a = rotated(std::span(q).subspan(head * kHeadDim, kHeadDim), kRotaryDim, 7);
    const auto b = rotated(std::span(k).subspan(head / kGroup * kHeadDim, kHeadDim), kRotaryDim, 3);
    double sum = 0;
    for (std::size_t i = 0; i < kHeadDim; ++i) sum += a[i] * b[i];
    return sum;
  };
  for (std::size_t head = 0; head < kGroup * kKeyHeads; ++head) {
    EXPECT_NEAR(score(new_query, new_key, head), score(query, key, head), 1e-12);
  }
}

// The real GGUF, converted plainly to float16 and regauged: a Hugging Face folder that opens, of the size that it must
// have.
TEST(SlowConvert, SmolLM2) {
  const auto gguf = testing::source_folder() / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf";
  LCOMP_REQUIRE(gguf);
  const TemporaryFolder folder;
  convert_model(gguf, folder / "out", options_for(DenseType::f16, true, 20250101));
  const ModelFolder model = open_model(folder / "out");
  EXPECT_EQ(model.parameters(), 134515008u);
  EXPECT_EQ(model.stored_bytes(), 2 * 134515008u);
  EXPECT_TRUE(std::filesystem::exists(folder / "out/tokenizer.json"));
  EXPECT_TRUE(parse_json_file(folder / "out/tokenizer_config.json").contains("chat_template"));
  // Its logits are those of the GGUF model up to float16's rounding: the reference measured 5.5e-2 of 37.9 for its own
  // gauge.
  TokenBatch batch;
  const std::vector<std::int32_t> ids = {1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198};
  batch.add(ids);
  EXPECT_LT(testing::relative_difference(logits_of(folder / "out", batch).view(), logits_of(gguf, batch).view()), 5e-3);
}

}  // namespace
}  // namespace lcomp
