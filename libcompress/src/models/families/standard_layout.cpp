#include "models/families/standard_layout.h"

#include <fmt/format.h>

namespace lcomp {
namespace {

LinearSlices linear(const std::string& name, std::size_t rows, std::size_t cols, bool bias, std::size_t row_begin = 0) {
  LinearSlices slices;
  slices.weight = {name + ".weight", row_begin, rows, cols};
  if (bias) slices.bias = {name + ".bias", row_begin, rows, 1};
  return slices;
}

NormSlices norm(const std::string& name, std::size_t width, NormKind kind) {
  NormSlices slices;
  slices.gain = {name + ".weight", 0, width, 1};
  if (kind == NormKind::layer) slices.bias = {name + ".bias", 0, width, 1};
  return slices;
}

}  // namespace

DecoderSlices standard_slices(const DecoderConfig& config, const StandardNames& names) {
  const std::size_t hidden = config.hidden_size, inner = config.intermediate_size;
  const std::size_t q = config.query_size(), kv = config.key_value_size();
  DecoderSlices slices;
  slices.embedding = {names.embedding + ".weight", 0, config.vocab_size, hidden};
  for (std::size_t layer = 0; layer < config.num_layers(); ++layer) {
    const std::string prefix = fmt::format("{}{}.", names.block_prefix, layer);
    BlockSlices block;
    block.input_norm = norm(prefix + names.input_norm, hidden, config.norm);
    if (!config.parallel_block) block.pre_mlp_norm = norm(prefix + names.pre_mlp_norm, hidden, config.norm);
    if (config.post_norms) {
      block.post_attention_norm = norm(prefix + names.post_attention_norm, hidden, config.norm);
      block.post_mlp_norm = norm(prefix + names.post_mlp_norm, hidden, config.norm);
    }
    if (config.query_key_norm) {
      block.query_norm = norm(prefix + names.query_norm, config.head_dim, config.norm);
      block.key_norm = norm(prefix + names.key_norm, config.head_dim, config.norm);
    }
    const bool qkv_bias = config.query_key_value_bias;
    if (names.fused_query_key_value.empty()) {
      block.query = linear(prefix + names.query, q, hidden, qkv_bias);
      block.key = linear(prefix + names.key, kv, hidden, qkv_bias);
      block.value = linear(prefix + names.value, kv, hidden, qkv_bias);
    } else {
      const std::string fused = prefix + names.fused_query_key_value;
      block.query = linear(fused, q, hidden, qkv_bias);
      block.key = linear(fused, kv, hidden, qkv_bias, q);
      block.value = linear(fused, kv, hidden, qkv_bias, q + kv);
    }
    block.output = linear(prefix + names.output, hidden, q, config.attention_output_bias);
    if (config.num_experts != 0) {
      slices.blocks.push_back(std::move(block));
      continue;
    }
    if (!names.fused_gate_up.empty()) {
      block.mlp.gate = linear(prefix + names.fused_gate_up, inner, hidden, config.mlp_bias);
      block.mlp.up = linear(prefix + names.fused_gate_up, inner, hidden, config.mlp_bias, inner);
    } else {
      if (config.gated_mlp) block.mlp.gate = linear(prefix + names.gate, inner, hidden, config.mlp_bias);
      block.mlp.up = linear(prefix + names.up, inner, hidden, config.mlp_bias);
    }
    block.mlp.down = linear(prefix + names.down, hidden, inner, config.mlp_bias);
    slices.blocks.push_back(std::move(block));
  }
  slices.final_norm = norm(names.final_norm, hidden, config.norm);
  if (!config.tied_head) slices.head = linear(names.head, config.vocab_size, hidden, config.head_bias);
  return slices;
}

}  // namespace lcomp
