#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace lcomp::testing {

// A tokenizer.json with the given tokens (ids in order) and merges ("a b"), nothing else in it.
inline nlohmann::json tiny_document(const std::vector<std::string>& tokens, const std::vector<std::string>& merges) {
  nlohmann::json vocabulary = nlohmann::json::object();
  for (const std::string& token : tokens) vocabulary[token] = vocabulary.size();
  return {{"version", "1.0"},
          {"added_tokens", nlohmann::json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model", {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", merges}}}};
}

inline std::unique_ptr<Tokenizer> tiny_tokenizer(const nlohmann::json& document) {
  return tokenizer_from_json(document, "tiny.json");
}

// The tokens of `text` as strings.
inline std::vector<std::string> tokens_of(const Tokenizer& tokenizer, const std::string& text,
                                          bool add_special = false) {
  std::vector<std::string> tokens;
  for (const TokenId id : tokenizer.encode(text, add_special)) tokens.push_back(tokenizer.id_to_token(id).value());
  return tokens;
}

}  // namespace lcomp::testing
