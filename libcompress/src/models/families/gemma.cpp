// Gemma 1, 2 and 3 (text): norms with gain 1 + w, embeddings scaled by sqrt(hidden_size), gated tanh GELU, tied head.
// Gemma 2 adds norms after attention and MLP, soft caps and alternating sliding windows; Gemma 3 norms on q and k and a
// second rotary embedding. Sources: transformers, models/gemma, gemma2, gemma3; arXiv 2403.08295, 2408.00118,
// 2503.19786.
#include <cmath>

#include "models/families/config_fields.h"
#include "models/families/families.h"
#include "models/families/standard_layout.h"

namespace lcomp {
namespace {

// What the three have in common.
DecoderConfig read_gemma(ConfigReader& reader, const std::string& family) {
  DecoderConfig config;
  config.family = family;
  read_sizes(reader, true, config);
  config.norm = NormKind::rms_plus_one;
  config.norm_epsilon = reader.real_or("rms_norm_eps", 1e-6, 0, 1);
  // Early checkpoints say "gelu" in hidden_act and mean the tanh form; hidden_activation was added to say so.
  if (reader.has("hidden_act")) reader.one_of("hidden_act", {"gelu_pytorch_tanh", "gelu"});
  reader.one_of_or("hidden_activation", "gelu_pytorch_tanh", {"gelu_pytorch_tanh"});
  config.activation = Activation::gelu_tanh;
  config.query_key_value_bias = config.attention_output_bias = reader.boolean_or("attention_bias", false);
  config.embedding_scale = std::sqrt(static_cast<double>(config.hidden_size));
  return config;
}

// null: none; absent: the model's default.
double read_softcap(ConfigReader& reader, std::string_view key, double otherwise) {
  if (!reader.has(key)) return otherwise;
  return reader.real_or(key, 0, 0, 1e6);
}

void read_query_scale(ConfigReader& reader, DecoderConfig& config) {
  config.attention_scale = 1 / std::sqrt(reader.real_or("query_pre_attn_scalar", 256, 1e-6, 1e9));
}

StandardNames names_with_post_norms() {
  StandardNames names;
  names.post_attention_norm = "post_attention_layernorm";
  names.pre_mlp_norm = "pre_feedforward_layernorm";
  names.post_mlp_norm = "post_feedforward_layernorm";
  return names;
}

}  // namespace

DecoderConfig read_gemma_config(ConfigReader& reader) {
  DecoderConfig config = read_gemma(reader, "gemma");
  config.ropes = {read_rope(reader, config.head_dim, config.max_positions)};
  refuse_other_mathematics(reader);
  return config;
}

DecoderSlices gemma_slices(const DecoderConfig& config) { return standard_slices(config, {}); }

DecoderConfig read_gemma2_config(ConfigReader& reader) {
  DecoderConfig config = read_gemma(reader, "gemma2");
  config.post_norms = true;
  config.attention_softcap = read_softcap(reader, "attn_logit_softcapping", 50);
  config.final_softcap = read_softcap(reader, "final_logit_softcapping", 30);
  read_query_scale(reader, config);
  config.ropes = {read_rope(reader, config.head_dim, config.max_positions)};
  const auto window = static_cast<std::size_t>(reader.integer_or("sliding_window", 4096, 1, std::int64_t{1} << 40));
  const std::vector<bool> sliding = read_layer_types(reader, config.num_layers());
  for (std::size_t i = 0; i < config.num_layers(); ++i) {
    if (sliding.empty() ? i % 2 == 0 : sliding[i]) config.layers[i].sliding_window = window;
  }
  refuse_other_mathematics(reader);
  return config;
}

DecoderSlices gemma2_slices(const DecoderConfig& config) { return standard_slices(config, names_with_post_norms()); }

DecoderConfig read_gemma3_config(ConfigReader& reader) {
  DecoderConfig config = read_gemma(reader, "gemma3_text");
  config.post_norms = true;
  config.query_key_norm = true;
  config.attention_softcap = read_softcap(reader, "attn_logit_softcapping", 0);
  config.final_softcap = read_softcap(reader, "final_logit_softcapping", 0);
  read_query_scale(reader, config);
  // ropes[0]: layers that see everything; ropes[1]: those with the window.
  RopeDefaults full, local;
  full.theta = 1e6;
  local.scalings = {"default"};
  const double local_theta = reader.real_or("rope_local_base_freq", 1e4, 1, 1e18);
  if (reader.has("rope_parameters")) {
    ConfigReader both(reader.object("rope_parameters"), reader.where("rope_parameters"));
    for (const char* kind : {"full_attention", "sliding_attention"}) {
      const bool is_full = config.ropes.empty();
      ConfigReader one(both.object(kind), both.where(kind));
      config.ropes.push_back(read_rope_object(one, is_full ? full.theta : local_theta, config.head_dim,
                                              config.max_positions, is_full ? full : local));
      one.finish();
    }
    both.finish();
  } else {
    const nlohmann::json none = nlohmann::json::object();
    ConfigReader plain(none, reader.where());
    config.ropes = {read_rope(reader, config.head_dim, config.max_positions, full),
                    read_rope_object(plain, local_theta, config.head_dim, config.max_positions, local)};
  }
  const auto window = static_cast<std::size_t>(reader.integer_or("sliding_window", 4096, 1, std::int64_t{1} << 40));
  const std::int64_t written = reader.integer_or("_sliding_window_pattern", 6, 1, 1000);
  const auto pattern = static_cast<std::size_t>(reader.integer_or("sliding_window_pattern", written, 1, 1000));
  const std::vector<bool> sliding = read_layer_types(reader, config.num_layers());
  for (std::size_t i = 0; i < config.num_layers(); ++i) {
    if (!(sliding.empty() ? (i + 1) % pattern != 0 : sliding[i])) continue;
    config.layers[i].sliding_window = window;
    config.layers[i].rope = 1;
  }
  refuse_other_mathematics(reader);
  return config;
}

DecoderSlices gemma3_slices(const DecoderConfig& config) { return standard_slices(config, names_with_post_norms()); }

}  // namespace lcomp
