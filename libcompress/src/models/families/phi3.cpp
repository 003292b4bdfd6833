// Phi-3 and 3.5 (dense), Phi-4: Llama with fused tensors and longrope scaling. Source: transformers, models/phi3; arXiv
// 2402.13753.
#include "models/families/config_fields.h"
#include "models/families/families.h"
#include "models/families/standard_layout.h"

namespace lcomp {

DecoderConfig read_phi3_config(ConfigReader& reader) {
  DecoderConfig config;
  config.family = "phi3";
  read_sizes(reader, false, config);
  config.norm_epsilon = reader.real_or("rms_norm_eps", 1e-5, 0, 1);
  config.activation = read_activation(reader, "hidden_act", {"silu"});
  RopeDefaults rope;
  rope.scalings = {"default", "longrope"};
  config.ropes = {read_rope(reader, config.head_dim, config.max_positions, rope)};
  read_sliding_window(reader, config);
  refuse_other_mathematics(reader);
  return config;
}

DecoderSlices phi3_slices(const DecoderConfig& config) {
  StandardNames names;
  names.fused_query_key_value = "self_attn.qkv_proj";
  names.fused_gate_up = "mlp.gate_up_proj";
  return standard_slices(config, names);
}

}  // namespace lcomp
