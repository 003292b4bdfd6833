#pragma once

#include <memory>
#include <vector>

#include "lcomp/tokenizer/tokenizer.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/byte_pair_model.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/text_normalizer.h"
#include "tokenizer/token_decoder.h"

namespace lcomp {

// What the post-processor adds around a text.
struct SurroundingTokens {
  std::vector<TokenId> before;
  std::vector<TokenId> after;
};

// The parts of a tokenizer in the order in which a text meets them:
//   text -> added tokens found in the raw text -> normalizer -> added tokens found in the normalized text ->
//   pre-tokenizer -> model
//        -> surrounding tokens
// and, on the way back, tokens -> decoder -> text.
struct TokenizerParts {
  std::vector<AddedToken> added_tokens;
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::shared_ptr<const BytePairModel> model;
  SurroundingTokens surrounding;
  std::vector<DecoderStep> decoder;
};

// A tokenizer made of such parts, with the semantics of Hugging Face's tokenizers library (0.23), except that
// skip_special leaves out special tokens even where the normalizer changes their text.
std::unique_ptr<Tokenizer> make_pipeline_tokenizer(TokenizerParts parts);

}  // namespace lcomp
