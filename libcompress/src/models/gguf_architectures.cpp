#include "gguf_architectures.h"

#include <fmt/format.h>

#include <array>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

constexpr std::array<GgufTensorName, 9> kLlamaTensors = {{
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj", GgufLayout::interleaved_query},
    {"attn_k", "self_attn.k_proj", GgufLayout::interleaved_key},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
}};

// Qwen's rotary embedding is the half-split kind in llama.cpp too: nothing is interleaved.
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

void complete_llama(const GgufFile& file, nlohmann::json& config) {
  if (const GgufValue* experts = file.find_metadata("llama.expert_count");
      experts != nullptr && file.unsigned_value("llama.expert_count") > 0) {
    throw Error({file.where(), fmt::format("a mixture of {} experts", file.unsigned_value("llama.expert_count")),
                 "a GGUF file of a dense model", "use the model's Hugging Face folder"});
  }
  config["attention_bias"] = file.find("blk.0.attn_q.bias") != nullptr;
  config["mlp_bias"] = file.find("blk.0.ffn_up.bias") != nullptr;
}

void complete_qwen2(const GgufFile&, nlohmann::json& config) { config["use_sliding_window"] = false; }

void complete_qwen3(const GgufFile& file, nlohmann::json& config) {
  config["use_sliding_window"] = false;
  config["attention_bias"] = file.find("blk.0.attn_q.bias") != nullptr;
}

const std::array<GgufArchitecture, 3> kArchitectures = {{
    {"llama", "llama", "LlamaForCausalLM", kLlamaTensors, complete_llama},
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
