#include "lcomp/models/scalable_inputs.h"

#include <initializer_list>
#include <numeric>

namespace lcomp {
namespace {

void add_readers(ScalableInput& input, std::initializer_list<const LinearSlices*> linears) {
  for (const LinearSlices* linear : linears) {
    if (!linear->weight.tensor.empty()) input.readers.push_back(*linear);
  }
}

// One factor a channel.
ScalableInput with_own_factors(std::size_t channels) {
  ScalableInput input;
  input.factors = channels;
  input.factor_of.resize(channels);
  std::iota(input.factor_of.begin(), input.factor_of.end(), 0u);
  return input;
}

ScalableInput after_norm(const NormSlices& norm) {
  ScalableInput input = with_own_factors(norm.gain.rows);
  input.norm = norm;
  return input;
}

void add_mlp_readers(ScalableInput& input, const BlockSlices& block) {
  add_readers(input, {&block.mlp.gate, &block.mlp.up, &block.router});
  for (const MlpSlices& expert : block.experts) add_readers(input, {&expert.gate, &expert.up});
}

ScalableInput attention_output(const DecoderConfig& config, const BlockSlices& block) {
  ScalableInput input;
  input.source = block.value;
  input.factors = config.key_value_size();
  const std::size_t group = config.num_attention_heads / config.num_key_value_heads;
  for (std::size_t j = 0; j < config.query_size(); ++j) {
    const std::size_t key_value_head = j / config.head_dim / group;
    input.factor_of.push_back(static_cast<std::uint32_t>(key_value_head * config.head_dim + j % config.head_dim));
  }
  add_readers(input, {&block.output});
  return input;
}

ScalableInput mlp_down(const MlpSlices& mlp) {
  ScalableInput input = with_own_factors(mlp.up.weight.rows);
  input.source = mlp.up;
  add_readers(input, {&mlp.down});
  return input;
}

}  // namespace

std::vector<ScalableInput> scalable_inputs(const ModelFolder& model) {
  const DecoderConfig& config = model.config;
  std::vector<ScalableInput> inputs;
  for (const BlockSlices& block : model.slices.blocks) {
    inputs.push_back(after_norm(block.input_norm));
    add_readers(inputs.back(), {&block.query, &block.key, &block.value});
    if (!config.parallel_block) inputs.push_back(after_norm(block.pre_mlp_norm));
    add_mlp_readers(inputs.back(), block);
    inputs.push_back(attention_output(config, block));
    if (!config.gated_mlp) continue;
    if (config.num_experts == 0) inputs.push_back(mlp_down(block.mlp));
    for (const MlpSlices& expert : block.experts) inputs.push_back(mlp_down(expert));
  }
  if (!config.tied_head) {
    inputs.push_back(after_norm(model.slices.final_norm));
    add_readers(inputs.back(), {&model.slices.head});
  }
  return inputs;
}

}  // namespace lcomp
