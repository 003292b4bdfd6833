// Tokenizers made of any bytes, and any text for them. The input is TEXT, a zero byte, and the bytes of a
// tokenizer.json (from the first '{') or of a tokenizer.model. Each either loads or throws Error in one line; what
// loads encodes and decodes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/tokenizer/tokenizer.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/tokenizer_json.h"

namespace {

std::unique_ptr<lcomp::Tokenizer> make(std::string_view bytes) {
  if (bytes.starts_with('{')) return lcomp::tokenizer_from_json(lcomp::parse_json(bytes, "input"), "input");
  const auto model = lcomp::parse_sentencepiece(std::as_bytes(std::span(bytes.data(), bytes.size())), "input");
  return lcomp::make_sentencepiece_tokenizer(model, "input");
}

void encode_and_decode(const lcomp::Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text, true);
  if (tokenizer.encode(text, true) != ids) std::abort();  // the second time from the word cache
  for (const lcomp::TokenId id : ids) {
    if (!tokenizer.id_to_token(id).has_value()) std::abort();
  }
  for (const bool skip_special : {false, true}) tokenizer.decode(ids, skip_special);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t zero = input.find('\0');
  const std::string_view text = input.substr(0, zero);
  try {
    encode_and_decode(*make(zero == std::string_view::npos ? std::string_view() : input.substr(zero + 1)), text);
  } catch (const lcomp::Error& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
