#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/formats/activation_quantization.h"
#include "lcomp/io/tensor_source.h"
#include "lcomp/models/decoder_config.h"

namespace lcomp {

// Rows [row_begin, row_begin + rows) of a checkpoint tensor: where one part of the decoder lives. Fused tensors
// (Phi-3's qkv_proj) are several of these over one name.
struct TensorSlice {
  std::string tensor;  // empty: this decoder has no such part
  std::size_t row_begin = 0;
  std::size_t rows = 0;
  std::size_t cols = 0;  // 1 for a vector
};

// A linear y = W x + b. Its component name is `weight.tensor` without ".weight".
struct LinearSlices {
  TensorSlice weight;
  TensorSlice bias;
};

struct NormSlices {
  TensorSlice gain;
  TensorSlice bias;
};

struct MlpSlices {
  LinearSlices gate, up, down;
};

struct BlockSlices {
  NormSlices input_norm, post_attention_norm;  // before attention; after it (post_norms)
  NormSlices pre_mlp_norm, post_mlp_norm;      // before the MLP; after it (post_norms)
  NormSlices query_norm, key_norm;
  LinearSlices query, key, value, output;
  MlpSlices mlp;        // dense MLP
  LinearSlices router;  // mixture of experts
  std::vector<MlpSlices> experts;
};

struct DecoderSlices {
  TensorSlice embedding;
  std::vector<BlockSlices> blocks;
  NormSlices final_norm;
  LinearSlices head;  // empty when tied
};

// A model on disk, checked but not loaded: the config, where every tensor is, and a reader of them.
struct ModelFolder {
  std::filesystem::path path;
  nlohmann::json config_json;  // Hugging Face's; synthesised for a GGUF file
  DecoderConfig config;
  DecoderSlices slices;
  std::shared_ptr<const TensorSource> tensors;
  // How the inputs of linear layers are rounded to integers when the model runs, as a compressed model says; may be set
  // for any whose linear layers are stored as integers. Nothing: activations are floats.
  std::optional<ActivationQuantization> activations;

  std::uint64_t parameters() const;    // of the tensors that the decoder uses; a tied embedding counts once
  std::uint64_t stored_bytes() const;  // payload bytes of the same tensors
};

// Opens a Hugging Face folder (safetensors, sharded or not), a GGUF file, or a compressed model made by `lcomp
// compress`. Of Gemma 3 with vision, the text model in it. Throws Error for an unknown architecture (listing the known
// ones), a config value that is unsupported or missing, tensors that are missing, left over (buffers such as
// rotary_emb.inv_freq aside) or of a wrong shape: all of them named in one message.
ModelFolder open_model(const std::filesystem::path& path);

}  // namespace lcomp
