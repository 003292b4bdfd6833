// Qwen 2, 2.5 and 3 (dense): Llama with biases on q, k and v (2) or norms on q and k (3). Source: transformers,
// models/qwen2, qwen3; arXiv 2407.10671, 2505.09388.
#include "models/families/config_fields.h"
#include "models/families/families.h"
#include "models/families/standard_layout.h"

namespace lcomp {
namespace {

DecoderConfig read_qwen(ConfigReader& reader, const std::string& family) {
  DecoderConfig config;
  config.family = family;
  read_sizes(reader, false, config);
  config.norm_epsilon = reader.real_or("rms_norm_eps", 1e-6, 0, 1);
  config.activation = read_activation(reader, "hidden_act", {"silu"});
  config.ropes = {read_rope(reader, config.head_dim, config.max_positions)};
  // Published files name a window beside "use_sliding_window": false; the first max_window_layers layers never have it.
  const std::int64_t window = reader.integer_or("sliding_window", 4096, 1, std::int64_t{1} << 40);
  const auto full = static_cast<std::size_t>(reader.integer_or("max_window_layers", 28, 0, 1000000));
  const std::vector<bool> sliding = read_layer_types(reader, config.num_layers());
  const bool used = reader.boolean_or("use_sliding_window", false);
  for (std::size_t i = 0; i < config.num_layers(); ++i) {
    if (used && (sliding.empty() ? i >= full : sliding[i]))
      config.layers[i].sliding_window = static_cast<std::size_t>(window);
  }
  return config;
}

}  // namespace

DecoderConfig read_qwen2_config(ConfigReader& reader) {
  DecoderConfig config = read_qwen(reader, "qwen2");
  config.query_key_value_bias = true;
  refuse_other_mathematics(reader);
  return config;
}

DecoderSlices qwen2_slices(const DecoderConfig& config) { return standard_slices(config, {}); }

DecoderConfig read_qwen3_config(ConfigReader& reader) {
  DecoderConfig config = read_qwen(reader, "qwen3");
  config.query_key_norm = true;
  config.query_key_value_bias = config.attention_output_bias = reader.boolean_or("attention_bias", false);
  refuse_other_mathematics(reader);
  return config;
}

DecoderSlices qwen3_slices(const DecoderConfig& config) { return standard_slices(config, {}); }

}  // namespace lcomp
