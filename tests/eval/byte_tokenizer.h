#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp::testing {

// One token a byte; token 256 begins a text.
class ByteTokenizer : public Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, bool add_special) const override {
    std::vector<TokenId> ids;
    if (add_special) ids.push_back(256);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const TokenId>, bool) const override { return {}; }
  std::size_t vocab_size() const override { return 257; }
  std::optional<TokenId> token_to_id(std::string_view) const override { return std::nullopt; }
  std::optional<std::string> id_to_token(TokenId) const override { return std::nullopt; }
};

}  // namespace lcomp::testing
