// What llama.cpp's convert_hf_to_gguf.py does to the tensors and hyperparameters of each family, undone; and what
// llama.cpp knows of an architecture without its being in the file (src/llama-model.cpp).
#include "interchange/gguf_architectures.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "interchange/gguf_number.h"
#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using nlohmann::json;

constexpr std::array<GgufTensorName, 16> kLlamaTensors = {{
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj", GgufLayout::interleaved_query},
    {"attn_k", "self_attn.k_proj", GgufLayout::interleaved_key},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
    // Mixtral
    {"ffn_gate_inp", "block_sparse_moe.gate"},
    {"ffn_gate_exps", "block_sparse_moe.experts.{}.w1", GgufLayout::expert_stack},
    {"ffn_up_exps", "block_sparse_moe.experts.{}.w3", GgufLayout::expert_stack},
    {"ffn_down_exps", "block_sparse_moe.experts.{}.w2", GgufLayout::expert_stack},
    {"ffn_gate", "block_sparse_moe.experts.{}.w1", GgufLayout::one_expert},
    {"ffn_up", "block_sparse_moe.experts.{}.w3", GgufLayout::one_expert},
    {"ffn_down", "block_sparse_moe.experts.{}.w2", GgufLayout::one_expert},
}};

// The rotary embedding of all others is the half-split kind in llama.cpp too: nothing is interleaved.
constexpr std::array<GgufTensorName, 11> kQwenTensors = {{
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
}};

// Gemma 1 has Qwen's names.
constexpr std::array<GgufTensorName, 13> kGemma2Tensors = {{
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_output", "self_attn.o_proj"},
    {"post_attention_norm", "post_attention_layernorm"},
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
}};

constexpr std::array<GgufTensorName, 8> kPhi2Tensors = {{
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_qkv", "self_attn.{}_proj", GgufLayout::fused_query_key_value},
    {"attn_output", "self_attn.dense"},
    {"ffn_up", "mlp.fc1"},
    {"ffn_down", "mlp.fc2"},
}};

constexpr std::array<GgufTensorName, 6> kPhi3Tensors = {{
    {"attn_norm", "input_layernorm"},
    {"attn_qkv", "self_attn.qkv_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_up", "mlp.gate_up_proj"},
    {"ffn_down", "mlp.down_proj"},
}};

// Llama, Mistral and Mixtral are one architecture there. llama.cpp has no sliding window for it and its converter drops
// Mistral's; a file that has the key means it.
void complete_llama(const GgufMetadata& metadata, json& config) {
  const auto experts = metadata.optional_size("expert_count");
  const auto window = metadata.optional_size("attention.sliding_window");
  if (experts) {
    config["architectures"] = {"MixtralForCausalLM"};
    config["model_type"] = "mixtral";
    config["num_local_experts"] = *experts;
    config["num_experts_per_tok"] = metadata.size("expert_used_count");
    config["intermediate_size"] =
        metadata.size_or("expert_feed_forward_length", config.at("intermediate_size").get<std::uint64_t>());
  } else if (window) {
    config["architectures"] = {"MistralForCausalLM"};
    config["model_type"] = "mistral";
  } else {
    config["attention_bias"] = metadata.file().find("blk.0.attn_q.bias") != nullptr;
    config["mlp_bias"] = metadata.file().find("blk.0.ffn_up.bias") != nullptr;
  }
  if (window) config["sliding_window"] = *window;
  metadata.refuse_other_mathematics({"expert_count", "attention.sliding_window"});
}

void complete_qwen2(const GgufMetadata& metadata, json& config) {
  config["use_sliding_window"] = false;
  metadata.refuse_other_mathematics({});
}

void complete_qwen3(const GgufMetadata& metadata, json& config) {
  config["use_sliding_window"] = false;
  config["attention_bias"] = metadata.file().find("blk.0.attn_q.bias") != nullptr;
  metadata.refuse_other_mathematics({});
}

void complete_gemma(const GgufMetadata& metadata, json& config) {
  config["hidden_activation"] = config["hidden_act"];
  metadata.refuse_other_mathematics({});
}

// The files don't say what divides q . k, and llama.cpp knows one size of each generation by its layers: there it is
// the square root of hidden_size / heads, elsewhere that of head_dim. attention.scale says it for any other.
void add_query_scale(const GgufMetadata& metadata, std::uint64_t layers_of_largest, json& config) {
  const auto number = [&](const char* key) { return config.at(key).get<std::uint64_t>(); };
  if (const double scale = metadata.real_or("attention.scale", 0); scale != 0) {
    config["query_pre_attn_scalar"] = shortest_decimal(1 / (scale * scale), 6);
  } else if (number("num_hidden_layers") == layers_of_largest) {
    config["query_pre_attn_scalar"] = number("hidden_size") / number("num_attention_heads");
  } else {
    config["query_pre_attn_scalar"] = number("head_dim");
  }
}

// Which layers have the window: a list, or a period with a full layer at its end.
void add_window_pattern(const GgufMetadata& metadata, std::uint64_t period, json& config) {
  const auto layers = config.at("num_hidden_layers").get<std::uint64_t>();
  std::vector<bool> sliding;
  if (const auto flags = metadata.flags("attention.sliding_window_pattern", layers)) {
    sliding = *flags;
  } else {
    period = metadata.size_or("attention.sliding_window_pattern", period);
    for (std::uint64_t i = 0; i < layers; ++i) sliding.push_back((i + 1) % period != 0);
  }
  config["layer_types"] = json::array();
  for (const bool flag : sliding) config["layer_types"].push_back(flag ? "sliding_attention" : "full_attention");
}

void complete_gemma2(const GgufMetadata& metadata, json& config) {
  config["hidden_activation"] = config["hidden_act"];
  config["attn_logit_softcapping"] = metadata.real_or("attn_logit_softcapping", 50);
  config["final_logit_softcapping"] = metadata.real_or("final_logit_softcapping", 30);
  config["sliding_window"] = metadata.size_or("attention.sliding_window", 4096);
  add_query_scale(metadata, 46, config);
  add_window_pattern(metadata, 2, config);
  metadata.refuse_other_mathematics(
      {"attn_logit_softcapping", "final_logit_softcapping", "attention.sliding_window", "attention.scale"});
}

void complete_gemma3(const GgufMetadata& metadata, json& config) {
  config["hidden_activation"] = config["hidden_act"];
  for (const char* cap : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (const double value = metadata.real_or(cap, 0); value != 0) config[cap] = value;
  }
  config["sliding_window"] = metadata.size("attention.sliding_window");
  config["rope_local_base_freq"] = metadata.real_or("rope.freq_base_swa", 10000);
  add_query_scale(metadata, 62, config);
  add_window_pattern(metadata, 6, config);
  metadata.refuse_other_mathematics(
      {"attn_logit_softcapping", "final_logit_softcapping", "attention.sliding_window", "attention.scale"});
}

void complete_phi2(const GgufMetadata& metadata, json&) { metadata.refuse_other_mathematics({}); }

void complete_phi3(const GgufMetadata& metadata, json& config) {
  config["sliding_window"] = nullptr;
  if (const auto window = metadata.optional_size("attention.sliding_window")) {
    config["sliding_window"] = *window;
  } else if (const auto layers = config.at("num_hidden_layers").get<std::uint64_t>();
             !metadata.has("attention.sliding_window") && (layers == 32 || layers == 40) &&
             config.at("max_position_embeddings") == 4096) {
    config["sliding_window"] = 2047;  // files of Phi-3 mini and medium 4k from before the key
  }
  if (const auto original = metadata.optional_size("rope.scaling.original_context_length")) {
    config["original_max_position_embeddings"] = *original;
  }
  metadata.refuse_other_mathematics({"attention.sliding_window"});
}

GgufArchitecture gemma(std::string_view gguf, std::string_view model_type, std::string_view class_name,
                       std::span<const GgufTensorName> tensors, void (*complete)(const GgufMetadata&, json&)) {
  GgufArchitecture architecture{gguf, model_type, class_name, tensors, complete};
  architecture.activation = "gelu_pytorch_tanh";
  architecture.norms_plus_one = true;
  return architecture;
}

GgufArchitecture phi2() {
  GgufArchitecture architecture{"phi2", "phi", "PhiForCausalLM", kPhi2Tensors, complete_phi2};
  architecture.activation = "gelu_new";
  architecture.final_norm = "model.final_layernorm";
  architecture.layer_norm = true;
  architecture.partial_rotary = true;
  return architecture;
}

GgufArchitecture phi3() {
  GgufArchitecture architecture{"phi3", "phi3", "Phi3ForCausalLM", kPhi3Tensors, complete_phi3};
  architecture.partial_rotary = true;
  return architecture;
}

const std::array<GgufArchitecture, 8> kArchitectures = {{
    gemma("gemma", "gemma", "GemmaForCausalLM", kQwenTensors, complete_gemma),
    gemma("gemma2", "gemma2", "Gemma2ForCausalLM", kGemma2Tensors, complete_gemma2),
    gemma("gemma3", "gemma3_text", "Gemma3ForCausalLM", kGemma2Tensors, complete_gemma3),
    {"llama", "llama", "LlamaForCausalLM", kLlamaTensors, complete_llama},
    phi2(),
    phi3(),
    {"qwen2", "qwen2", "Qwen2ForCausalLM", kQwenTensors, complete_qwen2},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", kQwenTensors, complete_qwen3},
}};

}  // namespace

const GgufArchitecture& gguf_architecture(const GgufFile& file) {
  const std::string& wanted = file.string_value("general.architecture");
  std::string known;
  for (const GgufArchitecture& architecture : kArchitectures) {
    if (architecture.gguf == wanted) return architecture;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", architecture.gguf);
  }
  throw Error({file.where(), fmt::format("general.architecture is \"{}\"", wanted), known,
               "use the model's Hugging Face folder"});
}

}  // namespace lcomp
