#pragma once

#include <string>

#include "lcomp/models/decoder_config.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Tensor names as most checkpoints on Hugging Face have them, without ".weight" and ".bias"; those of a block follow
// block_prefix + layer + ".". Empty: this family has no such tensor.
struct StandardNames {
  std::string embedding = "model.embed_tokens";
  std::string block_prefix = "model.layers.";
  std::string input_norm = "input_layernorm";
  std::string post_attention_norm;
  std::string pre_mlp_norm = "post_attention_layernorm";
  std::string post_mlp_norm;
  std::string query_norm = "self_attn.q_norm";
  std::string key_norm = "self_attn.k_norm";
  std::string query = "self_attn.q_proj";
  std::string key = "self_attn.k_proj";
  std::string value = "self_attn.v_proj";
  std::string fused_query_key_value;  // instead of the three: rows of q, then k, then v
  std::string output = "self_attn.o_proj";
  std::string gate = "mlp.gate_proj";
  std::string up = "mlp.up_proj";
  std::string fused_gate_up;  // instead of the two: rows of gate, then up
  std::string down = "mlp.down_proj";
  std::string final_norm = "model.norm";
  std::string head = "lm_head";
};

// Where every part of the decoder is, by these names: the parts that `config` has, with their shapes. The
// router and the experts of a mixture are left to the family.
DecoderSlices standard_slices(const DecoderConfig& config, const StandardNames& names);

}  // namespace lcomp
