// Phi-1, 1.5 and 2: attention and MLP side by side after one LayerNorm, biases everywhere, a part of each head rotated,
// plain MLP. Source: transformers, models/phi.
#include "models/families/config_fields.h"
#include "models/families/families.h"
#include "models/families/standard_layout.h"

namespace lcomp {

DecoderConfig read_phi_config(ConfigReader& reader) {
  DecoderConfig config;
  config.family = "phi";
  read_sizes(reader, false, config);
  config.norm = NormKind::layer;
  config.norm_epsilon = reader.real_or("layer_norm_eps", 1e-5, 0, 1);
  config.parallel_block = true;
  config.query_key_value_bias = config.attention_output_bias = config.mlp_bias = true;
  config.head_bias = !config.tied_head;
  config.gated_mlp = false;
  config.activation = read_activation(reader, "hidden_act", {"gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu"});
  RopeDefaults rope;
  rope.partial_rotary_factor = 0.5;
  config.ropes = {read_rope(reader, config.head_dim, config.max_positions, rope)};
  refuse_other_mathematics(reader);
  return config;
}

DecoderSlices phi_slices(const DecoderConfig& config) {
  StandardNames names;
  names.output = "self_attn.dense";
  names.up = "mlp.fc1";
  names.down = "mlp.fc2";
  names.final_norm = "model.final_layernorm";
  return standard_slices(config, names);
}

}  // namespace lcomp
