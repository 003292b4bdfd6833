#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tokenizer/text_pattern.h"

namespace lcomp {

// The steps of a decoder, named as in tokenizer.json. Each turns a list of token texts into another.
struct ByteLevelDecoderStep {
};  // all tokens together: characters of GPT-2's alphabet to bytes; ill-formed UTF-8 becomes U+FFFD
struct ByteFallbackDecoderStep {};  // runs of <0x2A>: their bytes when they are UTF-8, otherwise a U+FFFD for each
struct FuseDecoderStep {};          // all tokens become one
struct StripDecoderStep {           // up to `start` and `stop` times `content` off the ends of each token
  char32_t content = ' ';
  std::size_t start = 0;
  std::size_t stop = 0;
};
struct ReplaceDecoderStep {
  TextPattern pattern;
  std::string content;
};
struct MetaspaceDecoderStep {  // the symbol becomes a space; in the first token, where it was prepended, nothing
  std::string replacement;
  bool drop_in_first = true;
};
using DecoderStep = std::variant<ByteLevelDecoderStep, ByteFallbackDecoderStep, FuseDecoderStep, StripDecoderStep,
                                 ReplaceDecoderStep, MetaspaceDecoderStep>;

// The text of tokens: the steps applied in order, the results joined. Without steps, the tokens with spaces between
// them.
std::string decode_tokens(const std::vector<DecoderStep>& steps, std::vector<std::string> tokens);

}  // namespace lcomp
