#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "lcomp/io/gguf.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// A GGUF file seen as a Hugging Face model.
struct GgufModel {
  // As a Hugging Face config.json: "model_type", sizes, rope, norm epsilon, tied head, token ids; "torch_dtype" is
  // absent.
  nlohmann::json config_json;
  // Under Hugging Face names ("model.layers.0.self_attn.q_proj.weight"), rows of q and k in Hugging Face's order:
  // llama.cpp interleaves the two halves of each head (row 2 i + h of a head is Hugging Face's row h * head_dim / 2 +
  // i).
  std::shared_ptr<const TensorSource> tensors;
  std::shared_ptr<const GgufFile> file;
};

// Opens a GGUF file of a known architecture (general.architecture; the table in gguf_architectures.cpp lists them, one
// entry each). A tied head is assumed where output.weight is absent; rope_freqs.weight (llama3 scaling) is translated
// back into a "rope_scaling" object. Throws Error for an unknown architecture (listing the known ones), missing
// metadata, a rope scaling or a tensor that has no Hugging Face counterpart, and whatever GgufFile refuses.
GgufModel open_gguf_model(const std::filesystem::path& path);

}  // namespace lcomp
