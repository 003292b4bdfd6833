#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

#include "gguf_writer.h"
#include "lcomp/models/model_folder.h"

namespace lcomp::testing {

// llama.cpp's order of q and k rows: within each head, row i of the first half is followed by row i of the second half.
inline Matrix interleave_heads(const Matrix& weight, std::size_t heads) {
  Matrix out(weight.rows(), weight.cols());
  const std::size_t head_dim = weight.rows() / heads;
  for (std::size_t row = 0, h = 0; h < heads; ++h) {
    for (std::size_t i = 0; i < head_dim / 2; ++i) {
      for (const std::size_t from : {h * head_dim + i, h * head_dim + head_dim / 2 + i}) {
        std::copy(weight.row(from).begin(), weight.row(from).end(), out.row(row++).begin());
      }
    }
  }
  return out;
}

// The frequency divisors that llama.cpp stores for Llama 3's rope scaling.
inline Matrix llama3_divisors(const RopeConfig& rope) {
  Matrix divisors(rope.rotary_dim / 2, 1);
  const auto original = static_cast<double>(rope.original_positions);
  for (std::size_t i = 0; i < divisors.rows(); ++i) {
    const double wavelength =
        2 * std::numbers::pi * std::pow(rope.theta, 2 * static_cast<double>(i) / static_cast<double>(rope.rotary_dim));
    const double smooth =
        (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
    double divisor = 1 / ((1 - smooth) / rope.factor + smooth);
    if (wavelength < original / rope.high_freq_factor) divisor = 1;
    if (wavelength > original / rope.low_freq_factor) divisor = rope.factor;
    divisors(i, 0) = static_cast<float>(divisor);
  }
  return divisors;
}

// Choices that llama.cpp's converter has made differently over time.
struct GgufStyle {
  bool expert_stacks = true;  // ffn_gate_exps; else ffn_gate.0, ffn_gate.1, ...
  bool fused_phi2 = false;    // attn_qkv for Phi-2, from checkpoints of before transformers had it
  // attention.scale, attention.sliding_window for the architecture llama, rope.freq_base_swa and
  // attention.sliding_window_pattern: keys that the format has and the converter doesn't write for these architectures,
  // which leave llama.cpp with values of its own.
  bool all_keys = true;
};

// Writes one model; as_gguf() below calls it.
class GgufOfModel {
 public:
  GgufOfModel(const ModelFolder& model, std::string architecture, GgufStyle style)
      : model_(model), config_(model.config), architecture_(std::move(architecture)), style_(style) {
    gemma_ = architecture_.starts_with("gemma");
    writer_.set("general.architecture", architecture_);
    write_sizes();
    write_peculiarities();
    add("token_embd.weight", "model.embed_tokens.weight");
    for (const std::string kind : {".weight", ".bias"}) {
      add("output_norm" + kind, (architecture_ == "phi2" ? "model.final_layernorm" : "model.norm") + kind);
      add("output" + kind, "lm_head" + kind);
      for (std::size_t layer = 0; layer < config_.num_layers(); ++layer) write_block(layer, kind);
    }
    write_rope_factors();
  }

  GgufWriter take() { return std::move(writer_); }

 private:
  template <typename T>
  void set(const std::string& key, T value) {
    writer_.set(architecture_ + "." + key, value);
  }
  void set_number(const std::string& key, std::size_t value) { set(key, static_cast<std::uint32_t>(value)); }

  void write_sizes() {
    set_number("block_count", config_.num_layers());
    set_number("context_length", config_.max_positions);
    set_number("embedding_length", config_.hidden_size);
    set_number("feed_forward_length", config_.intermediate_size);
    set_number("attention.head_count", config_.num_attention_heads);
    set_number("attention.head_count_kv", config_.num_key_value_heads);
    set(architecture_ == "phi2" ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
        static_cast<float>(config_.norm_epsilon));
    if (!architecture_.starts_with("phi")) {
      set_number("attention.key_length", config_.head_dim);
      set_number("attention.value_length", config_.head_dim);
    }
    if (architecture_ != "phi2" && architecture_ != "gemma" && architecture_ != "gemma2") {
      set("rope.freq_base", static_cast<float>(config_.ropes[0].theta));
    }
    if (!gemma_) set_number("rope.dimension_count", config_.ropes[0].rotary_dim);
    for (const auto& [key, name] :
         {std::pair{"bos_token_id", "bos_token_id"}, std::pair{"eos_token_id", "eos_token_id"},
          std::pair{"pad_token_id", "padding_token_id"}}) {
      if (model_.config_json.contains(key)) {
        writer_.set(std::string("tokenizer.ggml.") + name, model_.config_json.at(key).get<std::uint32_t>());
      }
    }
  }

  void write_peculiarities() {
    const auto window = config_.layers[0].sliding_window;
    if (window && (architecture_ != "llama" || style_.all_keys)) set_number("attention.sliding_window", *window);
    if (architecture_ == "phi3") {
      if (!window) set_number("attention.sliding_window", 0);
      const std::size_t original = config_.ropes[0].original_positions;
      set_number("rope.scaling.original_context_length", original == 0 ? config_.max_positions : original);
    }
    if (config_.attention_softcap != 0) set("attn_logit_softcapping", static_cast<float>(config_.attention_softcap));
    if (config_.final_softcap != 0) set("final_logit_softcapping", static_cast<float>(config_.final_softcap));
    if (config_.num_experts != 0) {
      set_number("expert_count", config_.num_experts);
      set_number("expert_used_count", config_.experts_per_token);
    }
    if (!style_.all_keys) return;
    if (architecture_ == "gemma2" || architecture_ == "gemma3") {
      set("attention.scale", static_cast<float>(config_.attention_scale));
    }
    if (architecture_ == "gemma3") {
      std::vector<std::int32_t> sliding;
      for (const LayerConfig& layer : config_.layers) sliding.push_back(layer.sliding_window ? 1 : 0);
      set("attention.sliding_window_pattern", sliding);
      set("rope.freq_base_swa", static_cast<float>(config_.ropes[1].theta));
    }
  }

  void add(const std::string& gguf, const std::string& name, std::size_t heads = 0) {
    const TensorInfo* info = model_.tensors->find(name);
    if (info == nullptr) return;
    Matrix values = model_.tensors->read(name);
    if (heads != 0 && architecture_ == "llama") values = interleave_heads(values, heads);
    if (gemma_ && name.ends_with("norm.weight")) {
      for (float& value : values.span()) value += 1;
    }
    writer_.add(gguf, info->shape, std::move(values));
  }

  void write_block(std::size_t layer, const std::string& kind) {
    const std::string to = "blk." + std::to_string(layer) + ".";
    const std::string from = "model.layers." + std::to_string(layer) + ".";
    const auto both = [&](const std::string& gguf, const std::string& name, std::size_t heads = 0) {
      add(to + gguf + kind, from + name + kind, heads);
    };
    both("attn_norm", "input_layernorm");
    if (style_.fused_phi2 && architecture_ == "phi2") {
      join(to + "attn_qkv" + kind, from + "self_attn.", "qkv", "_proj" + kind);
    } else {
      both("attn_q", "self_attn.q_proj", config_.num_attention_heads);
      both("attn_k", "self_attn.k_proj", config_.num_key_value_heads);
      both("attn_v", "self_attn.v_proj");
    }
    both("attn_qkv", "self_attn.qkv_proj");
    both("attn_q_norm", "self_attn.q_norm");
    both("attn_k_norm", "self_attn.k_norm");
    both("attn_output", architecture_ == "phi2" ? "self_attn.dense" : "self_attn.o_proj");
    both(config_.post_norms ? "post_attention_norm" : "ffn_norm", "post_attention_layernorm");
    both("ffn_norm", "pre_feedforward_layernorm");
    both("post_ffw_norm", "post_feedforward_layernorm");
    both("ffn_gate", "mlp.gate_proj");
    both("ffn_up", "mlp.up_proj");
    both("ffn_up", "mlp.fc1");
    both("ffn_up", "mlp.gate_up_proj");
    both("ffn_down", "mlp.down_proj");
    both("ffn_down", "mlp.fc2");
    if (config_.num_experts == 0 || kind != ".weight") return;
    both("ffn_gate_inp", "block_sparse_moe.gate");
    for (const auto& [gguf, name] : {std::pair{"ffn_gate", "w1"}, {"ffn_down", "w2"}, {"ffn_up", "w3"}}) {
      const std::string experts = from + "block_sparse_moe.experts.";
      const std::string ending = std::string(".") + name + ".weight";
      if (style_.expert_stacks) {
        std::string numbers;
        for (std::size_t e = 0; e < config_.num_experts; ++e) numbers += static_cast<char>('0' + e);
        join(to + gguf + "_exps.weight", experts, numbers, ending, true);
        continue;
      }
      for (std::size_t e = 0; e < config_.num_experts; ++e) {
        add(to + gguf + "." + std::to_string(e) + ".weight", experts + std::to_string(e) + ending);
      }
    }
  }

  // Tensors whose names differ in one letter, one below the other; `stacked`: with a dimension of their own.
  void join(const std::string& gguf, const std::string& beginning, const std::string& letters,
            const std::string& ending, bool stacked = false) {
    std::vector<float> values;
    std::vector<std::size_t> shape;
    for (const char letter : letters) {
      const std::string name = beginning + letter + ending;
      const Matrix part = model_.tensors->read(name);
      values.insert(values.end(), part.span().begin(), part.span().end());
      const std::vector<std::size_t>& part_shape = model_.tensors->info(name).shape;
      if (shape.empty()) {
        shape = part_shape;
        if (stacked) shape.insert(shape.begin(), letters.size());
      } else if (!stacked) {
        shape[0] += part_shape[0];
      }
    }
    Matrix joined(values.size(), 1);
    std::copy(values.begin(), values.end(), joined.span().begin());
    writer_.add(gguf, shape, std::move(joined));
  }

  void write_rope_factors() {
    const RopeConfig& rope = config_.ropes[0];
    if (rope.scaling == RopeScaling::llama3) {
      Matrix divisors = llama3_divisors(rope);
      writer_.add("rope_freqs.weight", {divisors.rows()}, std::move(divisors));
    }
    if (rope.scaling != RopeScaling::longrope) return;
    set("rope.scaling.attn_factor", static_cast<float>(rope.attention_factor));
    for (const auto& [name, factors] : {std::pair{"rope_factors_long.weight", &rope.long_factors},
                                        {"rope_factors_short.weight", &rope.short_factors}}) {
      Matrix values(factors->size(), 1);
      std::transform(factors->begin(), factors->end(), values.span().begin(),
                     [](double factor) { return static_cast<float>(factor); });
      writer_.add(name, {factors->size()}, std::move(values));
    }
  }

  const ModelFolder& model_;
  const DecoderConfig& config_;
  std::string architecture_;
  GgufStyle style_;
  bool gemma_ = false;
  GgufWriter writer_;
};

// A model as llama.cpp's converter would write it.
inline GgufWriter as_gguf(const ModelFolder& model, const std::string& architecture, GgufStyle style = {}) {
  return GgufOfModel(model, architecture, style).take();
}

}  // namespace lcomp::testing
