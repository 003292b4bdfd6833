#include "lcomp/models/shared_inputs.h"

#include <initializer_list>
#include <utility>

namespace lcomp {
namespace {

void add_input(std::vector<SharedInput>& inputs, std::size_t stage, std::initializer_list<const LinearSlices*> linears,
               const NormSlices* norm, const LinearSlices* source) {
  SharedInput input{stage, {}, norm, source};
  for (const LinearSlices* linear : linears) {
    if (!linear->weight.tensor.empty()) input.readers.push_back(linear);
  }
  if (!input.readers.empty()) inputs.push_back(std::move(input));
}

}  // namespace

std::vector<SharedInput> shared_inputs(const DecoderConfig& config, const BlockSlices& block) {
  const NormSlices* attention_norm = &block.input_norm;
  const NormSlices* mlp_norm = config.parallel_block ? &block.input_norm : &block.pre_mlp_norm;
  std::vector<SharedInput> inputs;
  add_input(inputs, 0, {&block.query, &block.key, &block.value}, attention_norm, nullptr);
  add_input(inputs, 1, {&block.output}, nullptr, &block.value);
  add_input(inputs, 2, {&block.router}, mlp_norm, nullptr);
  add_input(inputs, 2, {&block.mlp.gate, &block.mlp.up}, mlp_norm, nullptr);
  for (const MlpSlices& expert : block.experts) add_input(inputs, 2, {&expert.gate, &expert.up}, mlp_norm, nullptr);
  add_input(inputs, 3, {&block.mlp.down}, nullptr, config.gated_mlp ? &block.mlp.up : nullptr);
  for (const MlpSlices& expert : block.experts) {
    add_input(inputs, 3, {&expert.down}, nullptr, config.gated_mlp ? &expert.up : nullptr);
  }
  return inputs;
}

}  // namespace lcomp
