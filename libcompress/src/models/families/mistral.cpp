// Mistral 7B and its relatives: Llama with a sliding window in every layer. Source: transformers, models/mistral; arXiv
// 2310.06825.
#include "models/families/config_fields.h"
#include "models/families/families.h"
#include "models/families/standard_layout.h"

namespace lcomp {

DecoderConfig read_mistral_config(ConfigReader& reader) {
  DecoderConfig config;
  config.family = "mistral";
  read_sizes(reader, false, config);
  config.norm_epsilon = reader.real_or("rms_norm_eps", 1e-6, 0, 1);
  config.activation = read_activation(reader, "hidden_act", {"silu"});
  config.ropes = {read_rope(reader, config.head_dim, config.max_positions)};
  read_sliding_window(reader, config);
  refuse_other_mathematics(reader);
  return config;
}

DecoderSlices mistral_slices(const DecoderConfig& config) { return standard_slices(config, {}); }

}  // namespace lcomp
