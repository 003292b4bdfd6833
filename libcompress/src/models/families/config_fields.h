#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lcomp/io/config_reader.h"
#include "lcomp/models/decoder_config.h"

namespace lcomp {

// The fields of config.json that most families share. Two spellings are read: that of published checkpoints
// (rope_theta, rope_scaling) and that of transformers 5 (rope_parameters, layer_types). Values that the decoder can't
// compute are an Error.

// vocab_size, hidden_size, intermediate_size, the heads, head_dim (hidden_size / num_attention_heads unless given),
// max_position_embeddings, tie_word_embeddings and num_hidden_layers (every layer with rope 0 and no window);
// attention_scale becomes 1 / sqrt(head_dim).
void read_sizes(ConfigReader& reader, bool tied_by_default, DecoderConfig& config);

// The activation under `key`, one of those that `allowed` names as Hugging Face does ("silu", "gelu_pytorch_tanh",
// "gelu_new", ...).
Activation read_activation(ConfigReader& reader, std::string_view key, const std::vector<std::string>& allowed);

struct RopeDefaults {
  double theta = 10000;
  double partial_rotary_factor = 1;
  std::vector<std::string> scalings = {"default", "linear", "llama3"};  // what the family allows
};

// The rotary embedding of all layers. rope_parameters is preferred, then rope_theta and rope_scaling.
RopeConfig read_rope(ConfigReader& reader, std::size_t head_dim, std::size_t max_positions,
                     const RopeDefaults& defaults = {});

// The rotary embedding that one object describes, rope_parameters or rope_scaling; theta where the object has none.
RopeConfig read_rope_object(ConfigReader& reader, double theta, std::size_t head_dim, std::size_t max_positions,
                            const RopeDefaults& defaults);

// layer_types ("full_attention", "sliding_attention"): whether each layer has the window. Empty when the key is absent.
std::vector<bool> read_layer_types(ConfigReader& reader, std::size_t num_layers);

// sliding_window: in every layer, or in those that layer_types names. null or absent: none.
void read_sliding_window(ConfigReader& reader, DecoderConfig& config);

// Throws Error when a key that the family didn't read is known to change the mathematics and has a value other than the
// neutral one. Other unread keys are tolerated: published files carry many that say nothing of the computation
// (use_cache, initializer_range, dropouts, token ids, versions, ...).
void refuse_other_mathematics(ConfigReader& reader);

}  // namespace lcomp
