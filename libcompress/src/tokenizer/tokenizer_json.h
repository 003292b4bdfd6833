#pragma once

#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {

// Builds a tokenizer from the contents of a tokenizer.json (version 1.0 of Hugging Face's tokenizers library):
//   model           BPE, with merges as "a b" or [a, b]; no dropout, prefixes or suffixes
//   normalizer      NFC, NFD, NFKC, NFKD, Prepend, Replace, Lowercase, Strip, StripAccents, Sequence
//   pre_tokenizer   ByteLevel, Split, Digits, Metaspace, Whitespace, WhitespaceSplit, Punctuation, Sequence
//   post_processor  TemplateProcessing (of single texts), BertProcessing, RobertaProcessing, ByteLevel, Sequence
//   decoder         ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, Sequence
// Truncation and padding, which are a matter of batches, are ignored. Throws Error for anything else, with its path in
// the file:
//   tokenizer.json: normalizer.normalizers[1].type: found "Precompiled"; expected one of ...
std::unique_ptr<Tokenizer> tokenizer_from_json(const nlohmann::json& document, const std::string& where);

}  // namespace lcomp
