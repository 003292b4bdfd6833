#include "models/families/config_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

// Bounds that no model comes near and that keep products of sizes far from overflow.
constexpr std::int64_t max_width = std::int64_t{1} << 24;
constexpr std::int64_t max_layers = 1000;
constexpr std::int64_t max_context = std::int64_t{1} << 40;

std::size_t read_size(ConfigReader& reader, std::string_view key, std::int64_t high) {
  return static_cast<std::size_t>(reader.integer(key, 1, high));
}

std::string rope_kind(ConfigReader& reader) {
  const std::string type = reader.string_or("type", "default");
  return reader.string_or("rope_type", type);
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& each : names) list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", each);
  return list;
}

}  // namespace

void read_sizes(ConfigReader& reader, bool tied_by_default, DecoderConfig& config) {
  config.vocab_size = read_size(reader, "vocab_size", max_width);
  config.hidden_size = read_size(reader, "hidden_size", max_width);
  config.intermediate_size = read_size(reader, "intermediate_size", max_width);
  config.num_attention_heads = read_size(reader, "num_attention_heads", 65536);
  const auto heads = static_cast<std::int64_t>(config.num_attention_heads);
  config.num_key_value_heads = static_cast<std::size_t>(reader.integer_or("num_key_value_heads", heads, 1, heads));
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    throw Error({reader.where("num_key_value_heads"), fmt::format("{}", config.num_key_value_heads),
                 fmt::format("a divisor of num_attention_heads, {}", heads), ""});
  }
  const std::int64_t head_dim = reader.integer_or("head_dim", 0, 0, 65536);
  if (head_dim > 0) {
    config.head_dim = static_cast<std::size_t>(head_dim);
  } else if (config.hidden_size % config.num_attention_heads == 0) {
    config.head_dim = config.hidden_size / config.num_attention_heads;
  } else {
    throw Error({reader.where("hidden_size"), fmt::format("{} for {} heads and no head_dim", config.hidden_size, heads),
                 "a multiple of num_attention_heads, or a head_dim", ""});
  }
  config.max_positions = read_size(reader, "max_position_embeddings", max_context);
  config.tied_head = reader.boolean_or("tie_word_embeddings", tied_by_default);
  config.attention_scale = 1 / std::sqrt(static_cast<double>(config.head_dim));
  config.layers.assign(read_size(reader, "num_hidden_layers", max_layers), LayerConfig{});
}

Activation read_activation(ConfigReader& reader, std::string_view key, const std::vector<std::string>& allowed) {
  static const std::map<std::string, Activation> kinds = {
      {"silu", Activation::silu},
      {"swish", Activation::silu},
      {"gelu_pytorch_tanh", Activation::gelu_tanh},
      {"gelu_new", Activation::gelu_tanh},
      {"gelu_fast", Activation::gelu_tanh},
      {"gelu", Activation::gelu_erf},
  };
  return kinds.at(reader.one_of(key, allowed));
}

RopeConfig read_rope_object(ConfigReader& reader, double theta, std::size_t head_dim, std::size_t max_positions,
                            const RopeDefaults& defaults) {
  RopeConfig rope;
  rope.theta = reader.real_or("rope_theta", theta, 1, 1e18);
  const double part = reader.real_or("partial_rotary_factor", defaults.partial_rotary_factor, 0, 1);
  rope.rotary_dim = static_cast<std::size_t>(part * static_cast<double>(head_dim));
  if (rope.rotary_dim == 0 || rope.rotary_dim % 2 != 0) {
    throw Error({reader.where(),
                 fmt::format("{} rotary dimensions ({} x head_dim {})", rope.rotary_dim, part, head_dim),
                 "an even number of them", ""});
  }
  const std::string kind = rope_kind(reader);
  if (std::find(defaults.scalings.begin(), defaults.scalings.end(), kind) == defaults.scalings.end()) {
    throw Error({reader.where("rope_type"), fmt::format("the rope scaling \"{}\"", kind),
                 "one of " + quoted_list(defaults.scalings), ""});
  }
  const auto original = [&](std::int64_t otherwise) {
    const std::int64_t value = reader.integer_or("original_max_position_embeddings", otherwise, 0, max_context);
    if (value > 0) return static_cast<std::size_t>(value);
    throw Error({reader.where("original_max_position_embeddings"), "no value",
                 "the context length of the original training", ""});
  };
  if (kind == "linear") {
    rope.scaling = RopeScaling::linear;
    rope.factor = reader.real("factor", 1e-6, 1e6);
  } else if (kind == "llama3") {
    rope.scaling = RopeScaling::llama3;
    rope.factor = reader.real("factor", 1e-6, 1e6);
    rope.low_freq_factor = reader.real("low_freq_factor", 1e-6, 1e6);
    rope.high_freq_factor = reader.real("high_freq_factor", 1e-6, 1e6);
    rope.original_positions = original(0);
    if (rope.high_freq_factor <= rope.low_freq_factor) {
      throw Error({reader.where("high_freq_factor"), fmt::format("{}", rope.high_freq_factor),
                   fmt::format("more than low_freq_factor, {}", rope.low_freq_factor), ""});
    }
  } else if (kind == "longrope") {
    rope.scaling = RopeScaling::longrope;
    rope.original_positions = original(static_cast<std::int64_t>(max_positions));
    rope.short_factors = reader.reals("short_factor", 1e-6, 1e6);
    rope.long_factors = reader.reals("long_factor", 1e-6, 1e6);
    for (const auto* factors : {&rope.short_factors, &rope.long_factors}) {
      if (factors->size() == rope.rotary_dim / 2) continue;
      throw Error({reader.where(factors == &rope.short_factors ? "short_factor" : "long_factor"),
                   fmt::format("{} values", factors->size()),
                   fmt::format("{}, half of the rotary dimensions", rope.rotary_dim / 2), ""});
    }
    const double factor = static_cast<double>(max_positions) / static_cast<double>(rope.original_positions);
    const double known =
        factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(rope.original_positions)));
    rope.attention_factor = reader.real_or("attention_factor", known, 1e-6, 1e6);
  }
  return rope;
}

RopeConfig read_rope(ConfigReader& reader, std::size_t head_dim, std::size_t max_positions,
                     const RopeDefaults& defaults) {
  RopeDefaults outer = defaults;
  const double theta = reader.real_or("rope_theta", defaults.theta, 1, 1e18);
  outer.partial_rotary_factor = reader.real_or("partial_rotary_factor", defaults.partial_rotary_factor, 0, 1);
  nlohmann::json object = nlohmann::json::object();
  std::string where = reader.where();
  for (const char* key : {"rope_scaling", "rope_parameters"}) {  // the later one wins
    if (!reader.has(key)) continue;
    const nlohmann::json& value = reader.any(key);
    if (value.is_null()) continue;
    object = value;
    where = reader.where(key);
  }
  // Phi-3 has it beside rope_scaling, not inside.
  constexpr const char* original = "original_max_position_embeddings";
  if (reader.has(original) && object.is_object() && !object.contains(original)) object[original] = reader.any(original);
  ConfigReader inner(object, where);
  RopeConfig rope = read_rope_object(inner, theta, head_dim, max_positions, outer);
  inner.ignore(original);
  inner.finish();
  return rope;
}

std::vector<bool> read_layer_types(ConfigReader& reader, std::size_t num_layers) {
  if (!reader.has("layer_types") || reader.any("layer_types").is_null()) return {};
  std::vector<bool> sliding;
  for (const std::string& type : reader.strings("layer_types")) {
    if (type != "full_attention" && type != "sliding_attention") {
      throw Error({reader.where("layer_types"), fmt::format("\"{}\"", type),
                   "\"full_attention\" or \"sliding_attention\"", ""});
    }
    sliding.push_back(type == "sliding_attention");
  }
  if (sliding.size() != num_layers) {
    throw Error({reader.where("layer_types"), fmt::format("{} entries", sliding.size()),
                 fmt::format("{}, one a layer", num_layers), ""});
  }
  return sliding;
}

void read_sliding_window(ConfigReader& reader, DecoderConfig& config) {
  const std::int64_t window = reader.integer_or("sliding_window", 0, 1, max_context);
  const std::vector<bool> sliding = read_layer_types(reader, config.num_layers());
  if (window == 0) return;
  for (std::size_t i = 0; i < config.num_layers(); ++i) {
    if (sliding.empty() || sliding[i]) config.layers[i].sliding_window = static_cast<std::size_t>(window);
  }
}

void refuse_other_mathematics(ConfigReader& reader) {
  using nlohmann::json;
  // Keys of the published families that change the computation, and the value that leaves it alone. null is neutral for
  // all.
  static const std::vector<std::pair<std::string, json>> neutral = {
      {"attention_bias", false},
      {"attention_multiplier", nullptr},
      {"attention_out_bias", false},
      {"attn_logit_softcapping", nullptr},
      {"clip_qkv", nullptr},
      {"embedding_multiplier", 1},
      {"final_logit_softcapping", nullptr},
      {"layer_types", nullptr},
      {"logit_scale", 1},
      {"logits_scaling", 1},
      {"mlp_bias", false},
      {"no_rope_layers", nullptr},
      {"num_experts", nullptr},
      {"num_local_experts", nullptr},
      {"pretraining_tp", 1},
      {"qk_layernorm", false},
      {"quantization_config", nullptr},
      {"query_pre_attn_scalar", nullptr},
      {"residual_multiplier", 1},
      {"rope_interleaved", false},
      {"scale_depth", nullptr},
      {"scale_emb", 1},
      {"sliding_window", nullptr},
      {"use_bidirectional_attention", false},
      {"use_parallel_residual", false},
      {"use_qk_norm", false},
      {"use_sliding_window", false},
  };
  for (const std::string& key : reader.unread_keys()) {
    const auto at = std::find_if(neutral.begin(), neutral.end(), [&](const auto& entry) { return entry.first == key; });
    if (at != neutral.end()) {
      const json& value = reader.any(key);
      if (!value.is_null() && value != at->second) {
        throw Error({reader.where(key), value.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 60),
                     at->second.is_null() ? "no such key" : at->second.dump(),
                     "this changes the computation in a way that is not supported here"});
      }
    }
    reader.ignore(key);
  }
}

}  // namespace lcomp
