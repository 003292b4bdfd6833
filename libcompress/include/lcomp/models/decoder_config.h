#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace lcomp {

// The one decoder, as data. A family file (families/<name>.cpp) fills this from a Hugging Face config.json; forward and
// backward are written once against it. Every field changes the mathematics: there are no hints here.

enum class NormKind {
  rms,           // x / rms(x) * gain
  rms_plus_one,  // x / rms(x) * (1 + gain)                    (Gemma)
  layer,         // (x - mean) / sqrt(var + eps) * gain + bias  (Phi-2)
};

enum class Activation { silu, gelu_tanh, gelu_erf };

enum class RopeScaling { none, linear, llama3, longrope };

// One kind of rotary embedding; layers refer to it by index (Gemma 3 has two). Half-split: dimension i pairs with i +
// rotary_dim/2.
struct RopeConfig {
  double theta = 10000;
  std::size_t rotary_dim = 0;  // even; head_dim, or less for partial rotary embeddings
  RopeScaling scaling = RopeScaling::none;
  double factor = 1;                   // linear, llama3
  double low_freq_factor = 1;          // llama3
  double high_freq_factor = 4;         // llama3
  std::size_t original_positions = 0;  // llama3, longrope
  std::vector<double> short_factors;   // longrope, [rotary_dim / 2]
  std::vector<double> long_factors;    // longrope, [rotary_dim / 2]
  double attention_factor = 1;         // longrope: cos and sin are multiplied by it
};

struct LayerConfig {
  std::size_t rope = 0;                       // index into DecoderConfig::ropes
  std::optional<std::size_t> sliding_window;  // position i sees i - window + 1 ... i
};

struct DecoderConfig {
  std::string family;  // "llama", as in config.json's model_type
  std::size_t vocab_size = 0;
  std::size_t hidden_size = 0;
  std::size_t intermediate_size = 0;
  std::size_t num_attention_heads = 0;
  std::size_t num_key_value_heads = 0;
  std::size_t head_dim = 0;
  std::size_t max_positions = 0;

  NormKind norm = NormKind::rms;
  double norm_epsilon = 1e-5;
  bool post_norms = false;      // a norm also after attention and after the MLP, before the residual sum (Gemma 2, 3)
  bool parallel_block = false;  // attention and MLP read the same normed input, both are added (Phi-2)
  bool query_key_norm = false;  // a norm over each head's q and k before the rotary embedding (Qwen 3, Gemma 3)
  bool query_key_value_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool head_bias = false;
  bool gated_mlp = true;  // down(act(gate(x)) * up(x)), else down(act(up(x)))
  Activation activation = Activation::silu;
  double attention_scale = 0;    // multiplies q . k
  double attention_softcap = 0;  // c: s -> c tanh(s / c); 0: none
  double final_softcap = 0;      // the same on the logits
  double embedding_scale = 1;    // multiplies the embedding's rows
  bool tied_head = false;        // the output head is the embedding
  std::size_t num_experts = 0;   // 0: no mixture of experts
  std::size_t experts_per_token = 0;

  std::vector<RopeConfig> ropes;
  std::vector<LayerConfig> layers;  // one a block

  std::size_t num_layers() const { return layers.size(); }
  std::size_t query_size() const { return num_attention_heads * head_dim; }
  std::size_t key_value_size() const { return num_key_value_heads * head_dim; }
};

}  // namespace lcomp
