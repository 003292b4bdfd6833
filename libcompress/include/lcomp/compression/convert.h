#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "lcomp/core/progress.h"
#include "lcomp/formats/compressed_weight.h"

namespace lcomp {

struct ConvertOptions {
  DenseType dtype = DenseType::f16;
  // Multiplies the gain of each norm into the columns of the linear layers that read it; the gains become 1 (0 where
  // the norm multiplies by 1 + gain). The final norm only where the head is a matrix of its own; norms after attention
  // and MLP (Gemma 2, 3) and of single heads stay: no linear follows them.
  bool fold_norms = false;
  // A random change of the weights that keeps the function, named by its seed; it folds the norms too. It takes a model
  // off the grid that it was stored on: a GGUF file's weights lie on a 4-bit grid, which a 4-bit quantizer would find
  // again without any loss.
  //   v rows x s, the matching o columns / s, per channel of each key-value head, s = exp(N(0, 0.25))
  //   up rows x s, down columns / s, per hidden channel, s = exp(N(0, 0.25))
  //   each rotary pair of q and k turned by one uniform angle per key-value head and pair
  std::optional<std::uint64_t> regauge_seed;
  bool replace = false;  // replaces `out` when it exists
};

// Writes any model that open_model reads as a Hugging Face folder: config.json ("torch_dtype" set), model.safetensors,
// tokenizer files and generation_config.json (copied, or made from a GGUF file's metadata; absent where the source has
// none). The folder appears when it is complete. Tensors are streamed, a megabyte or so at a time, whatever the model's
// size.
//
// Each weight is computed in double from the decoded value and rounded once. The same options give the same bytes on
// one machine (exp, sin and cos may differ in the last bit between C libraries).
//
// Throws Error, before anything is written, for what open_model refuses, an existing `out` without `replace`, a GGUF
// tokenizer that gguf_tokenizer_json refuses, and changes that would not keep the function: folding or regauging a
// LayerNorm (which has a bias), regauging an MLP without gate (its activation lies between up and down) or heads with
// their own norms (a rotation does not pass their gains). Also where a finite weight becomes infinite in `dtype`.
void convert_model(const std::filesystem::path& source, const std::filesystem::path& out, const ConvertOptions& options,
                   ProgressCallback progress = {});

}  // namespace lcomp
