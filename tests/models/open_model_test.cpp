// Opening a model: what is read from config.json, and how contradictions are reported. Most cases are the golden Llama
// folder with one thing changed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/safetensors.h"
#include "lcomp/models/model_folder.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using testing::golden;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TemporaryFolder;

void write_json(const std::filesystem::path& path, const nlohmann::json& value) {
  std::ofstream(path) << value.dump(1);
}

// A copy of a golden family with config.json changed by `change`.
void copy_model(const std::string& family, const TemporaryFolder& to,
                const std::function<void(nlohmann::json&)>& change) {
  const std::filesystem::path from = golden("families/" + family);
  std::filesystem::copy_file(from / "model.safetensors", to / "model.safetensors");
  nlohmann::json config = parse_json_file(from / "config.json");
  change(config);
  write_json(to / "config.json", config);
}

std::string opening_error(const std::filesystem::path& path) {
  try {
    open_model(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::user);
    return error.what();
  }
  return "";
}

std::string error_with(const std::function<void(nlohmann::json&)>& change) {
  const TemporaryFolder folder;
  copy_model("llama2", folder, change);
  return opening_error(folder.path());
}

std::string error_with(const std::string& key, const nlohmann::json& value) {
  return error_with([&](nlohmann::json& config) { config[key] = value; });
}

TEST(OpenModel, ReadsTheConfig) {
  LCOMP_REQUIRE(golden("families/llama3"));
  const ModelFolder model = open_model(golden("families/llama3"));
  EXPECT_EQ(model.config.family, "llama");
  EXPECT_EQ(model.config.vocab_size, 163u);
  EXPECT_EQ(model.config.num_layers(), 3u);
  EXPECT_EQ(model.config.head_dim, 12u);
  EXPECT_EQ(model.config.key_value_size(), 24u);
  EXPECT_FALSE(model.config.tied_head);
  ASSERT_EQ(model.config.ropes.size(), 1u);
  EXPECT_EQ(model.config.ropes[0].scaling, RopeScaling::llama3);
  EXPECT_EQ(model.config.ropes[0].original_positions, 128u);
  EXPECT_EQ(model.parameters(), 74736u);
  EXPECT_EQ(model.stored_bytes(), 4 * 74736u);
}

TEST(OpenModel, ATiedEmbeddingCountsOnce) {
  LCOMP_REQUIRE(golden("families/llama-tied"));
  EXPECT_EQ(open_model(golden("families/llama-tied")).parameters(), 85644u);
}

TEST(OpenModel, MissingFilesAreNamed) {
  const TemporaryFolder folder;
  EXPECT_THAT(opening_error(folder / "nowhere"), HasSubstr("no such file"));
  EXPECT_THAT(opening_error(folder.path()), HasSubstr("config.json"));
  std::ofstream(folder / "model.bin") << "x";
  EXPECT_THAT(opening_error(folder / "model.bin"), HasSubstr("GGUF"));
}

TEST(OpenModel, UnknownArchitecturesGetTheListOfKnownOnes) {
  LCOMP_REQUIRE(golden("families/llama2"));
  EXPECT_THAT(error_with("model_type", "gpt_neox"), AllOf(HasSubstr("gpt_neox"), HasSubstr("\"llama\"")));
  EXPECT_THAT(error_with([](nlohmann::json& c) { c.erase("model_type"); }), HasSubstr("model_type"));
}

TEST(OpenModel, ValuesThatChangeTheMathematicsAreRefused) {
  LCOMP_REQUIRE(golden("families/llama2"));
  EXPECT_THAT(error_with("hidden_act", "relu"), AllOf(HasSubstr("relu"), HasSubstr("silu")));
  EXPECT_THAT(error_with("pretraining_tp", 2), HasSubstr("pretraining_tp"));
  EXPECT_THAT(error_with("residual_multiplier", 0.22), HasSubstr("residual_multiplier"));
  EXPECT_THAT(error_with("sliding_window", 100), HasSubstr("sliding_window"));
  EXPECT_THAT(error_with("num_local_experts", 8), HasSubstr("num_local_experts"));
  EXPECT_THAT(error_with("quantization_config", {{"quant_method", "gptq"}}), HasSubstr("quantization_config"));
  EXPECT_THAT(error_with("rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}),
              AllOf(HasSubstr("dynamic"), HasSubstr("\"linear\""), HasSubstr("\"llama3\"")));
  EXPECT_THAT(error_with("rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}}), HasSubstr("yarn"));
  EXPECT_THAT(error_with("rope_scaling", {{"type", "linear"}, {"factor", 2.0}, {"surprise", 1}}),
              HasSubstr("surprise"));
  EXPECT_THAT(error_with("rope_scaling", {{"type", "linear"}}), HasSubstr("factor"));
}

TEST(OpenModel, FamiliesRefuseWhatTheyDoNotCompute) {
  const auto error_of_family = [](const std::string& family, const std::string& key, const nlohmann::json& value) {
    const TemporaryFolder folder;
    copy_model(family, folder, [&](nlohmann::json& config) { config[key] = value; });
    return opening_error(folder.path());
  };
  LCOMP_REQUIRE(golden("families/phi"));
  EXPECT_THAT(error_of_family("phi", "qk_layernorm", true), HasSubstr("qk_layernorm"));
  EXPECT_THAT(error_of_family("phi", "partial_rotary_factor", 0.36), HasSubstr("even"));
  EXPECT_THAT(error_of_family("phi3", "attention_bias", true), HasSubstr("attention_bias"));
  EXPECT_THAT(error_of_family("phi3", "rope_scaling",
                              {{"type", "longrope"}, {"short_factor", {1, 1}}, {"long_factor", {1, 1}}}),
              HasSubstr("short_factor"));
  EXPECT_THAT(error_of_family("gemma", "use_bidirectional_attention", true), HasSubstr("use_bidirectional_attention"));
  EXPECT_THAT(error_of_family("gemma2", "layer_types", {"sliding_attention"}), HasSubstr("one a layer"));
  EXPECT_THAT(error_of_family("gemma3", "layer_types", {"chunked_attention"}), HasSubstr("chunked_attention"));
  EXPECT_THAT(error_of_family("mixtral", "num_experts_per_tok", 7), HasSubstr("num_experts_per_tok"));
}

TEST(OpenModel, SizesThatNoModelHasAreRefused) {
  LCOMP_REQUIRE(golden("families/llama2"));
  EXPECT_THAT(error_with("head_dim", 11), AllOf(HasSubstr("11 rotary dimensions"), HasSubstr("even")));
  EXPECT_THAT(error_with("partial_rotary_factor", 0.0), HasSubstr("0 rotary dimensions"));
  EXPECT_THAT(error_with("hidden_size", 0), HasSubstr("hidden_size"));
  EXPECT_THAT(error_with("num_key_value_heads", 8), HasSubstr("num_key_value_heads"));
  for (const char* family : {"mistral", "mixtral", "phi3", "gemma2", "gemma3"}) {
    const TemporaryFolder folder;
    copy_model(family, folder, [](nlohmann::json& config) { config["sliding_window"] = 0; });
    EXPECT_THAT(opening_error(folder.path()), HasSubstr("sliding_window: found 0")) << family;
  }
  for (const int experts : {0, -1, 300}) {
    const TemporaryFolder folder;
    copy_model("mixtral", folder, [&](nlohmann::json& config) { config["num_local_experts"] = experts; });
    EXPECT_THAT(opening_error(folder.path()), HasSubstr("num_local_experts")) << experts;
  }
}

TEST(OpenModel, AnotherNumberOfExpertsIsAContradiction) {
  LCOMP_REQUIRE(golden("families/mixtral"));
  const TemporaryFolder folder;
  copy_model("mixtral", folder, [](nlohmann::json& config) { config["num_local_experts"] = 7; });
  EXPECT_THAT(opening_error(folder.path()),
              AllOf(HasSubstr("12 tensors"), HasSubstr("experts.6.w1.weight\" [40, 32] is missing"),
                    HasSubstr("gate.weight\" is [6, 32] instead of [7, 32]")));
}

TEST(OpenModel, SlidingWindowsAreReadLayerByLayer) {
  LCOMP_REQUIRE(golden("families/gemma3"));
  const DecoderConfig gemma3 = open_model(golden("families/gemma3")).config;
  EXPECT_EQ(gemma3.layers[1].sliding_window, 8u);
  EXPECT_EQ(gemma3.layers[1].rope, 1u);
  EXPECT_FALSE(gemma3.layers[2].sliding_window.has_value());
  EXPECT_EQ(gemma3.layers[2].rope, 0u);
  const TemporaryFolder folder;
  copy_model("qwen2", folder, [](nlohmann::json& config) {
    config["use_sliding_window"] = true;
    config["max_window_layers"] = 2;
  });
  const DecoderConfig qwen2 = open_model(folder.path()).config;
  EXPECT_FALSE(qwen2.layers[1].sliding_window.has_value());
  EXPECT_EQ(qwen2.layers[2].sliding_window, 8u);
}

TEST(OpenModel, ValuesThatChangeNothingAreTolerated) {
  LCOMP_REQUIRE(golden("families/llama2"));
  EXPECT_EQ(error_with([](nlohmann::json& c) {
              c["pretraining_tp"] = 1;
              c["use_cache"] = false;
              c["initializer_range"] = 0.5;
              c["sliding_window"] = nullptr;
              c["some_note_of_the_publisher"] = "x";
              c["num_key_value_heads"] = nullptr;
              c["head_dim"] = nullptr;
              c["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}};
            }),
            "");
}

TEST(OpenModel, NumbersAreReadStrictly) {
  LCOMP_REQUIRE(golden("families/llama2"));
  EXPECT_THAT(error_with("hidden_size", 48.5), HasSubstr("hidden_size"));
  EXPECT_THAT(error_with("hidden_size", -48), HasSubstr("hidden_size"));
  EXPECT_THAT(error_with("hidden_size", "48"), HasSubstr("hidden_size"));
  EXPECT_THAT(error_with("num_hidden_layers", 1000000000), HasSubstr("num_hidden_layers"));
  EXPECT_THAT(error_with("num_key_value_heads", 3), HasSubstr("divisor"));
  EXPECT_THAT(error_with("num_attention_heads", 7), HasSubstr("num_attention_heads"));
  EXPECT_THAT(error_with([](nlohmann::json& c) { c.erase("vocab_size"); }), HasSubstr("vocab_size"));
}

TEST(OpenModel, AVocabularyOfAnotherSizeIsAContradiction) {
  LCOMP_REQUIRE(golden("families/llama2"));
  EXPECT_THAT(error_with("vocab_size", 150),
              AllOf(HasSubstr("\"model.embed_tokens.weight\" is [151, 48] instead of [150, 48]"),
                    HasSubstr("lm_head.weight"), HasSubstr("vocab_size")));
}

TEST(OpenModel, AllTensorsThatAreMissingLeftOverOrOfAWrongShapeAreNamedAtOnce) {
  LCOMP_REQUIRE(golden("families/llama2"));
  // One layer fewer leaves the nine tensors of the last one over; the first eight problems are written out.
  EXPECT_THAT(error_with("num_hidden_layers", 2),
              AllOf(HasSubstr("9 tensors"), HasSubstr("model.layers.2.input_layernorm.weight"), HasSubstr("no place"),
                    HasSubstr("and 1 more")));
  EXPECT_THAT(error_with("num_hidden_layers", 4),
              AllOf(HasSubstr("9 tensors"), HasSubstr("\"model.layers.3.input_layernorm.weight\" [48] is missing")));
  // Biases that the config promises and the file lacks: q, k, v, o of three layers.
  EXPECT_THAT(error_with("attention_bias", true),
              AllOf(HasSubstr("12 tensors"), HasSubstr("k_proj.bias\" [48] is missing")));
  EXPECT_THAT(error_with([](nlohmann::json& c) { c["intermediate_size"] = 80; }),
              AllOf(HasSubstr("9 tensors"), HasSubstr("is [88, 48] instead of [80, 48]")));
}

// Writes the tensors of a golden family and more.
void write_with_extra(const TemporaryFolder& to, const std::string& extra, const std::vector<std::size_t>& shape) {
  const auto source = open_safetensors(golden("families/llama2"));
  std::vector<SafetensorsDeclaration> declarations;
  for (const TensorInfo& info : source->tensors()) declarations.push_back({info.name, DataType::f32, info.shape});
  declarations.push_back({extra, DataType::f32, shape});
  SafetensorsWriter writer(to / "model.safetensors", declarations);
  for (const TensorInfo& info : source->tensors()) writer.write_float(info.name, source->read(info.name).span());
  std::size_t elements = 1;
  for (const std::size_t n : shape) elements *= n;
  writer.write_float(extra, std::vector<float>(elements));
  writer.finish();
  std::filesystem::copy_file(golden("families/llama2/config.json"), to / "config.json");
}

TEST(OpenModel, ExtraTensorsAreRefusedUnlessTheyCanBeComputed) {
  LCOMP_REQUIRE(golden("families/llama2"));
  const TemporaryFolder tolerated, refused;
  write_with_extra(tolerated, "model.layers.0.self_attn.rotary_emb.inv_freq", {6});
  EXPECT_EQ(opening_error(tolerated.path()), "");
  EXPECT_EQ(open_model(tolerated.path()).parameters(), 80496u);
  write_with_extra(refused, "model.layers.0.self_attn.q_norm.weight", {12});
  EXPECT_THAT(opening_error(refused.path()),
              AllOf(HasSubstr("1 tensor"), HasSubstr("q_norm.weight\" [12] has no place")));
}

// A file of four gigabytes that takes no room on the disk: all its weights are holes.
TEST(OpenModel, OpeningReadsNoWeights) {
  LCOMP_REQUIRE(golden("families/llama2"));
  const TemporaryFolder folder;
  const std::size_t vocab = std::size_t{1} << 24, hidden = 64;
  nlohmann::json config = parse_json_file(golden("families/llama2/config.json"));
  config.update({{"vocab_size", vocab},
                 {"hidden_size", hidden},
                 {"num_hidden_layers", 1},
                 {"intermediate_size", 8},
                 {"num_attention_heads", 1},
                 {"num_key_value_heads", 1},
                 {"tie_word_embeddings", true}});
  write_json(folder / "config.json", config);
  nlohmann::json header = nlohmann::json::object();
  std::size_t end = 0;
  const auto declare = [&](const std::string& name, std::vector<std::size_t> shape) {
    std::size_t bytes = 4;
    for (const std::size_t n : shape) bytes *= n;
    header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {end, end + bytes}}};
    end += bytes;
  };
  declare("model.embed_tokens.weight", {vocab, hidden});
  declare("model.norm.weight", {hidden});
  const std::string block = "model.layers.0.";
  for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) declare(block + norm + ".weight", {hidden});
  for (const char* part : {"q", "k", "v", "o"}) declare(block + "self_attn." + part + "_proj.weight", {hidden, hidden});
  declare(block + "mlp.gate_proj.weight", {8, hidden});
  declare(block + "mlp.up_proj.weight", {8, hidden});
  declare(block + "mlp.down_proj.weight", {hidden, 8});
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  std::ofstream(folder / "model.safetensors", std::ios::binary)
      << std::string(reinterpret_cast<const char*>(&length), 8) << text;
  std::filesystem::resize_file(folder / "model.safetensors", 8 + text.size() + end);

  const auto pages_read = [] {  // minor and major faults: each page of a mapped file that is touched is one, or 16
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
  };
  const long before = pages_read();
  const ModelFolder model = open_model(folder.path());
  EXPECT_EQ(model.stored_bytes(), end);
  EXPECT_LT(pages_read() - before, 2000);  // of a million
}

TEST(OpenModel, TheHeadOfATiedModelIsIgnored) {
  LCOMP_REQUIRE(golden("families/llama2"));
  const TemporaryFolder folder;
  copy_model("llama2", folder, [](nlohmann::json& c) { c["tie_word_embeddings"] = true; });
  EXPECT_EQ(open_model(folder.path()).parameters(), 80496u - 151 * 48);
}

}  // namespace
}  // namespace lcomp
