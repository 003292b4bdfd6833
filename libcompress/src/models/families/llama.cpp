// Llama 1, 2, 3 and the many models published under its name (SmolLM2, TinyLlama, Yi, ...): RMS norm, rotary embedding,
// grouped heads, gated SiLU. Source: transformers, models/llama.
#include "models/families/config_fields.h"
#include "models/families/families.h"
#include "models/families/standard_layout.h"

namespace lcomp {

DecoderConfig read_llama_config(ConfigReader& reader) {
  DecoderConfig config;
  config.family = "llama";
  read_sizes(reader, false, config);
  config.norm_epsilon = reader.real_or("rms_norm_eps", 1e-6, 0, 1);
  config.activation = read_activation(reader, "hidden_act", {"silu"});
  config.query_key_value_bias = config.attention_output_bias = reader.boolean_or("attention_bias", false);
  config.mlp_bias = reader.boolean_or("mlp_bias", false);
  config.ropes = {read_rope(reader, config.head_dim, config.max_positions)};
  refuse_other_mathematics(reader);
  return config;
}

DecoderSlices llama_slices(const DecoderConfig& config) { return standard_slices(config, {}); }

}  // namespace lcomp
