#include "interchange/gguf_config.h"

#include <fmt/format.h>

#include <cmath>

#include "interchange/gguf_metadata.h"
#include "interchange/gguf_rope_scaling.h"
#include "lcomp/core/error.h"

namespace lcomp {
namespace {

constexpr std::uint64_t kMostLayers = 1000;

// The share of a head that is rotated, such that head_dim times it is `rotary_dim` when it is rounded down.
double rotary_factor(std::uint64_t rotary_dim, std::uint64_t head_dim) {
  double factor = static_cast<double>(rotary_dim) / static_cast<double>(head_dim);
  while (factor * static_cast<double>(head_dim) < static_cast<double>(rotary_dim)) factor = std::nextafter(factor, 1.0);
  return factor;
}

}  // namespace

nlohmann::json gguf_config(const GgufFile& file, const GgufArchitecture& architecture) {
  const GgufMetadata meta(file, architecture.gguf);
  const std::uint64_t hidden = meta.size("embedding_length");
  const std::uint64_t heads = meta.size("attention.head_count");
  const std::uint64_t key_value_heads = meta.size_or("attention.head_count_kv", heads);
  const std::uint64_t head_dim = meta.size_or("attention.key_length", hidden / heads);
  if (meta.size_or("attention.value_length", head_dim) != head_dim) {
    throw Error(
        {file.where(), "values and keys of different length", "attention.value_length as attention.key_length", ""});
  }
  if (head_dim == 0 || head_dim % 2 != 0 || key_value_heads > heads || heads % key_value_heads != 0) {
    throw Error(
        {file.where(),
         fmt::format("{} query heads and {} key-value heads of {} dimensions", heads, key_value_heads, head_dim),
         "query heads a multiple of key-value heads, an even dimension", ""});
  }
  const std::uint64_t rotary_dim = meta.size_or("rope.dimension_count", head_dim);
  if (rotary_dim != head_dim && (!architecture.partial_rotary || rotary_dim > head_dim || rotary_dim % 2 != 0)) {
    throw Error({file.where(), fmt::format("rotary embeddings of {} of {} dimensions", rotary_dim, head_dim),
                 architecture.partial_rotary ? "an even number of them" : "of all dimensions", ""});
  }
  const double theta = meta.real_or("rope.freq_base", 10000);
  if (!(theta > 0)) throw Error({file.where(), fmt::format("rope.freq_base is {}", theta), "more than 0", ""});
  nlohmann::json config = {
      {"architectures", {architecture.class_name}},
      {"model_type", architecture.model_type},
      {"vocab_size", file.info("token_embd.weight").rows()},
      {"hidden_size", hidden},
      {"intermediate_size", meta.size("feed_forward_length")},
      {"num_hidden_layers", meta.size("block_count", kMostLayers)},
      {"num_attention_heads", heads},
      {"num_key_value_heads", key_value_heads},
      {"head_dim", head_dim},
      {"max_position_embeddings", meta.size("context_length")},
      {"rope_theta", theta},
      {"rope_scaling", gguf_rope_scaling(file, meta.prefix(), theta, rotary_dim)},
      {"hidden_act", architecture.activation},
      {"tie_word_embeddings", file.find("output.weight") == nullptr},
  };
  if (rotary_dim != head_dim) config["partial_rotary_factor"] = rotary_factor(rotary_dim, head_dim);
  if (architecture.layer_norm) {
    config["layer_norm_eps"] = meta.real("attention.layer_norm_epsilon");
    if (rotary_dim == head_dim) config["partial_rotary_factor"] = 1.0;  // its absence would mean a half
  } else {
    config["rms_norm_eps"] = meta.real("attention.layer_norm_rms_epsilon");
  }
  for (const auto& [key, gguf_key] : {std::pair{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                      std::pair{"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                      std::pair{"pad_token_id", "tokenizer.ggml.padding_token_id"}}) {
    if (file.find_metadata(gguf_key) != nullptr) config[key] = file.unsigned_value(gguf_key);
  }
  architecture.complete_config(meta, config);
  return config;
}

}  // namespace lcomp
