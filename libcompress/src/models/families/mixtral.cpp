// Mixtral: Mistral's attention, and a mixture of experts in place of the MLP. Source: transformers, models/mixtral;
// arXiv 2401.04088.
#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "models/families/config_fields.h"
#include "models/families/families.h"
#include "models/families/standard_layout.h"

namespace lcomp {

DecoderConfig read_mixtral_config(ConfigReader& reader) {
  DecoderConfig config;
  config.family = "mixtral";
  read_sizes(reader, false, config);
  config.norm_epsilon = reader.real_or("rms_norm_eps", 1e-5, 0, 1);
  config.activation = read_activation(reader, "hidden_act", {"silu"});
  config.num_experts = static_cast<std::size_t>(reader.integer("num_local_experts", 1, 256));
  config.experts_per_token =
      static_cast<std::size_t>(reader.integer("num_experts_per_tok", 1, static_cast<std::int64_t>(config.num_experts)));
  RopeDefaults rope;
  rope.theta = 1e6;
  config.ropes = {read_rope(reader, config.head_dim, config.max_positions, rope)};
  read_sliding_window(reader, config);
  refuse_other_mathematics(reader);
  return config;
}

// The published names: w1 is gate, w3 is up, w2 is down.
DecoderSlices mixtral_slices(const DecoderConfig& config) {
  const std::size_t hidden = config.hidden_size, inner = config.intermediate_size;
  DecoderSlices slices = standard_slices(config, {});
  for (std::size_t layer = 0; layer < config.num_layers(); ++layer) {
    BlockSlices& block = slices.blocks[layer];
    const std::string prefix = fmt::format("model.layers.{}.block_sparse_moe.", layer);
    block.router.weight = {prefix + "gate.weight", 0, config.num_experts, hidden};
    for (std::size_t e = 0; e < config.num_experts; ++e) {
      const std::string expert = fmt::format("{}experts.{}.", prefix, e);
      MlpSlices mlp;
      mlp.gate.weight = {expert + "w1.weight", 0, inner, hidden};
      mlp.up.weight = {expert + "w3.weight", 0, inner, hidden};
      mlp.down.weight = {expert + "w2.weight", 0, hidden, inner};
      block.experts.push_back(std::move(mlp));
    }
  }
  return slices;
}

}  // namespace lcomp
