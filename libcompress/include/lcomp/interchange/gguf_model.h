#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "lcomp/interchange/gguf.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// A GGUF file seen as a Hugging Face model.
struct GgufModel {
  // As a Hugging Face config.json: "model_type", sizes, rope, norm epsilon, windows, soft caps, tied head, token ids;
  // "torch_dtype" is absent. Llama, Mistral and Mixtral are one architecture in GGUF: experts make it a Mixtral, else a
  // sliding window a Mistral.
  nlohmann::json config_json;
  // Under Hugging Face names ("model.layers.0.self_attn.q_proj.weight"), rows of q and k in Hugging Face's order:
  // llama.cpp interleaves the two halves of each head for the architecture llama (row 2 i + h of a head is Hugging
  // Face's row h * head_dim / 2 + i). Gemma's gains are stored as 1 + w and read as w: exactly, where w is of 16 bits.
  // Experts in one tensor [experts, rows, cols] and Phi-2's fused q, k, v are cut into theirs.
  std::shared_ptr<const TensorSource> tensors;
  std::shared_ptr<const GgufFile> file;
};

// Opens a GGUF file of a known architecture (general.architecture; the table in gguf_architectures.cpp lists them, one
// entry each). A tied head is assumed where output.weight is absent; rope_freqs.weight (llama3 scaling) and
// rope_factors_short/long.weight (longrope) are translated back into a "rope_scaling" object; what the converter drops
// and llama.cpp knows by the model's size (Gemma's query scale, its window pattern) is filled in. Throws Error for an
// unknown architecture (listing the known ones), missing metadata, metadata that change the computation (a logit scale,
// ...), a rope scaling or a tensor that has no Hugging Face counterpart, and whatever GgufFile refuses.
GgufModel open_gguf_model(const std::filesystem::path& path);

}  // namespace lcomp
