#pragma once

#include <nlohmann/json.hpp>

#include "lcomp/interchange/gguf.h"

namespace lcomp {

// The tokenizer in a GGUF file's metadata, in the layout of Hugging Face's tokenizer.json, so that both are read by one
// code path.
//
// tokenizer.ggml.model "gpt2": byte-level BPE (tokens and merges are in the file; the pre-tokenizer is known by
// tokenizer.ggml.pre; src/io/gguf_pre_tokenizer.cpp lists the known ones).
// tokenizer.ggml.model "llama": SentencePiece BPE. Spaces are U+2581 (a prefix where add_space_prefix says so), bytes
// fall back to
//   <0xXX> tokens, and merges are derived from the scores: every pair of tokens whose concatenation is a token, the
//   highest score of the result first (then the pair with the smaller ids), as transformers does when it converts
//   tokenizer.model.
// Control tokens become special added tokens, user-defined tokens plain added tokens. A post-processor adds begin and
// end tokens where add_bos_token and add_eos_token say so (for "llama", begin is added by default).
//
// Throws Error naming the file and what is unsupported: other tokenizer models ("bert", "t5", "rwkv", ...) and other
// pre-tokenizers, tokens that are no UTF-8, a token twice, or missing metadata.
nlohmann::json gguf_tokenizer_json(const GgufFile& file);

// tokenizer_config.json: the special tokens by name, add_bos_token, model_max_length, the chat template where the file
// has one.
nlohmann::json gguf_tokenizer_config_json(const GgufFile& file);

}  // namespace lcomp
