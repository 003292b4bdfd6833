#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "interchange/gguf_metadata.h"
#include "lcomp/interchange/gguf.h"

namespace lcomp {

// How tensors change on their way from a GGUF file to Hugging Face.
enum class GgufLayout {
  same,
  interleaved_query,      // llama.cpp interleaved the two halves of each query head
  interleaved_key,        // and of each key head
  fused_query_key_value,  // rows of q, k, v in one tensor; {} in hugging_face stands for "q", "k", "v"
  expert_stack,           // all experts in one tensor [experts, rows, cols]; {} in hugging_face is the expert's number
  one_expert,             // "ffn_gate.3" is expert 3 of "ffn_gate", as old files have them; {} as above
};

// One tensor's name in both worlds, without what is common: "attn_q" and "self_attn.q_proj" stand for
// "blk.N.attn_q.weight" and "model.layers.N.self_attn.q_proj.weight" (and ".bias").
struct GgufTensorName {
  std::string_view gguf;
  std::string_view hugging_face;
  GgufLayout layout = GgufLayout::same;
};

// What an architecture is in both worlds. Adding one: a row in the table of gguf_architectures.cpp, a test.
struct GgufArchitecture {
  std::string_view gguf;        // general.architecture, and the prefix of its metadata keys
  std::string_view model_type;  // config.json's
  std::string_view class_name;  // config.json's "architectures"
  std::span<const GgufTensorName> block_tensors;
  // Adds what is peculiar to the architecture to a config that has the common keys (and may change them); throws Error
  // for what it can't express.
  void (*complete_config)(const GgufMetadata& metadata, nlohmann::json& config);
  std::string_view activation = "silu";
  std::string_view final_norm = "model.norm";
  bool layer_norm = false;      // LayerNorm instead of RMS norm
  bool norms_plus_one = false;  // the file holds 1 + w where Hugging Face has w
  bool partial_rotary = false;  // rope.dimension_count may be less than a head's dimension
};

// Throws Error naming the file and listing the known architectures for an unknown one.
const GgufArchitecture& gguf_architecture(const GgufFile& file);

}  // namespace lcomp
