#include "lcomp/models/scalable_inputs.h"

#include <numeric>

#include "lcomp/models/shared_inputs.h"

namespace lcomp {
namespace {

void add_readers(ScalableInput& input, const SharedInput& shared) {
  for (const LinearSlices* reader : shared.readers) input.readers.push_back(*reader);
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

// One factor a row of the value projection, which all query heads of a key-value head share.
ScalableInput after_attention(const DecoderConfig& config, const LinearSlices& value) {
  ScalableInput input;
  input.source = value;
  input.factors = config.key_value_size();
  const std::size_t group = config.num_attention_heads / config.num_key_value_heads;
  for (std::size_t j = 0; j < config.query_size(); ++j) {
    const std::size_t key_value_head = j / config.head_dim / group;
    input.factor_of.push_back(static_cast<std::uint32_t>(key_value_head * config.head_dim + j % config.head_dim));
  }
  return input;
}

ScalableInput after_up(const LinearSlices& up) {
  ScalableInput input = with_own_factors(up.weight.rows);
  input.source = up;
  return input;
}

// What one norm makes is scaled for all its readers together, be it all tokens that they see or some.
void add_block(const DecoderConfig& config, const BlockSlices& block, std::vector<ScalableInput>& inputs) {
  const std::vector<SharedInput> shared = shared_inputs(config, block);
  const NormSlices* norm = nullptr;
  for (const SharedInput& input : shared) {
    if (input.norm == nullptr) continue;
    if (input.norm != norm) inputs.push_back(after_norm(*input.norm));
    norm = input.norm;
    add_readers(inputs.back(), input);
  }
  for (const SharedInput& input : shared) {
    if (input.source == nullptr) continue;
    inputs.push_back(input.stage < mlp_stage ? after_attention(config, *input.source) : after_up(*input.source));
    add_readers(inputs.back(), input);
  }
}

}  // namespace

std::vector<ScalableInput> scalable_inputs(const ModelFolder& model) {
  const DecoderConfig& config = model.config;
  std::vector<ScalableInput> inputs;
  for (const BlockSlices& block : model.slices.blocks) add_block(config, block, inputs);
  if (!config.tied_head) {
    inputs.push_back(after_norm(model.slices.final_norm));
    inputs.back().readers.push_back(model.slices.head);
  }
  return inputs;
}

}  // namespace lcomp
