#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace lcomp {

// How a text is cut before the merges of a byte-level tokenizer, and what goes with it, in the layout of
// tokenizer.json.
struct GgufPreTokenizer {
  nlohmann::json normalizer;
  nlohmann::json pre_tokenizer;
  bool ignore_merges = false;  // a word that is a token is not cut further
  bool adds_begin = false;     // where the file does not say
};

// The pre-tokenizer that llama.cpp calls `name` (tokenizer.ggml.pre), after the tokenizer.json of the models that it is
// named for. Throws Error naming `where` and listing the known names for another one.
GgufPreTokenizer gguf_pre_tokenizer(std::string_view name, const std::string& where);

// tokenizer.json's ByteLevel component, as pre-tokenizer and as decoder.
nlohmann::json byte_level_component(bool use_regex);

}  // namespace lcomp
