#include "training/trained_model.h"

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/safetensors.h"
#include "lcomp/models/model_in_memory.h"

namespace lcomp {
namespace {

struct StoredType {
  DataType type;
  const char* name;  // as torch has it
};

StoredType stored_type(DenseType dtype) {
  switch (dtype) {
    case DenseType::f32:
      return {DataType::f32, "float32"};
    case DenseType::f16:
      return {DataType::f16, "float16"};
    case DenseType::bf16:
      break;
  }
  return {DataType::bf16, "bfloat16"};
}

nlohmann::json new_llama(const nlohmann::json& shape, std::size_t vocab_size, std::optional<TokenId> end_token) {
  nlohmann::json config = shape;
  config["architectures"] = {"LlamaForCausalLM"};
  config["model_type"] = "llama";
  config["hidden_act"] = "silu";
  config["attention_bias"] = false;
  config["mlp_bias"] = false;
  config["vocab_size"] = vocab_size;
  config["bos_token_id"] = nullptr;
  config["eos_token_id"] = nullptr;
  if (end_token) config["eos_token_id"] = *end_token;
  return config;
}

void copy_if_there(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (std::filesystem::is_regular_file(from) && from != to) write_text_file(to, read_text_file(from));
}

}  // namespace

TrainableModel make_trainable_model(const TrainingConfig& config, const Tokenizer& tokenizer,
                                    std::optional<TokenId> end_token) {
  TrainableModel trainable;
  if (config.new_model.is_null()) {
    const ModelFolder original = open_model(config.model);
    if (tokenizer.vocab_size() > original.config.vocab_size) {
      throw Error({config.tokenizer.string(), fmt::format("a tokenizer of {} tokens", tokenizer.vocab_size()),
                   fmt::format("at most {}, the rows of the model's embedding", original.config.vocab_size), ""});
    }
    trainable.parameters = copy_parameters(original);
    trainable.model = model_in_memory(config.model, original.config_json, trainable.parameters);
    return trainable;
  }
  const nlohmann::json json = new_llama(config.new_model, tokenizer.vocab_size(), end_token);
  trainable.parameters = std::make_shared<Parameters>(config.out.string(), required_tensors(json, "model.new"));
  trainable.model = model_in_memory(config.out, json, trainable.parameters);
  initialize_parameters(*trainable.parameters, trainable.model, config.initial_deviation,
                        Rng(config.seed).split("initial weights"));
  return trainable;
}

void write_trained_model(const std::filesystem::path& folder, const ModelFolder& model, const Parameters& parameters,
                         DenseType dtype, const std::filesystem::path& tokenizer_path) {
  const StoredType stored = stored_type(dtype);
  std::vector<SafetensorsDeclaration> declarations;
  for (const TensorInfo& info : parameters.tensors()) declarations.push_back({info.name, stored.type, info.shape});
  SafetensorsWriter writer(folder / "model.safetensors", std::move(declarations), {{"format", "pt"}});
  for (const TensorInfo& info : parameters.tensors()) writer.write_float(info.name, parameters.values(info.name));
  writer.finish();
  nlohmann::json config = model.config_json;
  config.erase("dtype");
  config["torch_dtype"] = stored.name;
  write_text_file(folder / "config.json", config.dump(2) + "\n");
  if (std::filesystem::is_directory(tokenizer_path)) {
    for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
                             "generation_config.json", "LICENSE"}) {
      copy_if_there(tokenizer_path / name, folder / name);
    }
  } else if (tokenizer_path.extension() == ".json" || tokenizer_path.extension() == ".model") {
    copy_if_there(tokenizer_path, folder / ("tokenizer" + tokenizer_path.extension().string()));
  }
  if (!std::filesystem::exists(folder / "tokenizer_config.json")) {
    const nlohmann::json tokenizer = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                      {"model_max_length", model.config.max_positions}};
    write_text_file(folder / "tokenizer_config.json", tokenizer.dump(2) + "\n");
  }
}

}  // namespace lcomp
