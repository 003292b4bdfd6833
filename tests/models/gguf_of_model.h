#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

#include "lcomp/models/model_folder.h"
#include "support/gguf_writer.h"

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

// A model of the Llama or Qwen families as llama.cpp's converter would write it.
inline GgufWriter as_gguf(const ModelFolder& model, const std::string& architecture) {
  GgufWriter writer;
  const DecoderConfig& config = model.config;
  const auto number = [](std::size_t value) { return static_cast<std::uint32_t>(value); };
  writer.set("general.architecture", architecture);
  const std::string prefix = architecture + ".";
  writer.set(prefix + "block_count", number(config.num_layers()));
  writer.set(prefix + "context_length", number(config.max_positions));
  writer.set(prefix + "embedding_length", number(config.hidden_size));
  writer.set(prefix + "feed_forward_length", number(config.intermediate_size));
  writer.set(prefix + "attention.head_count", number(config.num_attention_heads));
  writer.set(prefix + "attention.head_count_kv", number(config.num_key_value_heads));
  writer.set(prefix + "attention.layer_norm_rms_epsilon", static_cast<float>(config.norm_epsilon));
  writer.set(prefix + "attention.key_length", number(config.head_dim));
  writer.set(prefix + "attention.value_length", number(config.head_dim));
  writer.set(prefix + "rope.freq_base", static_cast<float>(config.ropes[0].theta));
  writer.set(prefix + "rope.dimension_count", number(config.head_dim));
  writer.set("tokenizer.ggml.bos_token_id", std::uint32_t{1});
  writer.set("tokenizer.ggml.eos_token_id", std::uint32_t{2});
  const auto add = [&](const std::string& gguf, const std::string& name, std::size_t heads = 0) {
    const TensorInfo* info = model.tensors->find(name);
    if (info == nullptr) return;
    const Matrix values = model.tensors->read(name);
    writer.add(gguf, info->shape,
               heads == 0 || architecture != "llama" ? values.clone() : interleave_heads(values, heads));
  };
  add("token_embd.weight", "model.embed_tokens.weight");
  add("output_norm.weight", "model.norm.weight");
  add("output.weight", "lm_head.weight");
  for (std::size_t layer = 0; layer < config.num_layers(); ++layer) {
    for (const std::string kind : {".weight", ".bias"}) {
      const auto both = [&](const std::string& gguf, const std::string& name, std::size_t heads = 0) {
        add("blk." + std::to_string(layer) + "." + gguf + kind,
            "model.layers." + std::to_string(layer) + "." + name + kind, heads);
      };
      both("attn_norm", "input_layernorm");
      both("attn_q", "self_attn.q_proj", config.num_attention_heads);
      both("attn_k", "self_attn.k_proj", config.num_key_value_heads);
      both("attn_v", "self_attn.v_proj");
      both("attn_q_norm", "self_attn.q_norm");
      both("attn_k_norm", "self_attn.k_norm");
      both("attn_output", "self_attn.o_proj");
      both("ffn_norm", "post_attention_layernorm");
      both("ffn_gate", "mlp.gate_proj");
      both("ffn_up", "mlp.up_proj");
      both("ffn_down", "mlp.down_proj");
    }
  }
  if (config.ropes[0].scaling == RopeScaling::llama3) {
    const Matrix divisors = llama3_divisors(config.ropes[0]);
    writer.add("rope_freqs.weight", {divisors.rows()}, divisors.clone());
  }
  return writer;
}

}  // namespace lcomp::testing
