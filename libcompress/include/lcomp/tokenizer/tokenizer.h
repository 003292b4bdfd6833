#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lcomp {

using TokenId = std::int32_t;

// Text to token ids and back. Immutable after loading; safe to use from several threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Token ids of UTF-8 `text`. Special tokens written in the text become their ids. With `add_special`, the begin and
  // end tokens of the tokenizer's post-processor are added. Each maximal ill-formed part of invalid UTF-8 is read as
  // U+FFFD, as Rust's and Python's decoders do. Throws Error where the regular expression of a tokenizer.json
  // backtracks beyond the engine's limit.
  virtual std::vector<TokenId> encode(std::string_view text, bool add_special) const = 0;

  // Text of `ids`; with `skip_special`, special tokens are left out. Throws Error for an id outside the vocabulary.
  virtual std::string decode(std::span<const TokenId> ids, bool skip_special = false) const = 0;

  virtual std::size_t vocab_size() const = 0;  // largest id + 1, added tokens included
  virtual std::optional<TokenId> token_to_id(std::string_view token) const = 0;
  virtual std::optional<std::string> id_to_token(TokenId id) const = 0;
};

// Opens the tokenizer of a model: a folder with tokenizer.json or tokenizer.model, one of these files itself, or a GGUF
// file with tokenizer metadata. Throws Error that names an unsupported component of tokenizer.json, or what is missing.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& path);

}  // namespace lcomp
