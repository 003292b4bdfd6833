#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tokenizer/text_pattern.h"
#include "tokenizer/unicode.h"

namespace lcomp {

// The steps of a normalizer, named as in tokenizer.json. NFC, NFD, NFKC and NFKD are a NormalizationForm.
struct PrependStep {
  std::string prefix;  // not added to an empty text
};
struct ReplaceStep {
  TextPattern pattern;
  std::string content;
};
struct LowercaseStep {};
struct StripStep {
  bool left = true;
  bool right = true;
};
struct StripAccentsStep {};
using NormalizerStep =
    std::variant<NormalizationForm, PrependStep, ReplaceStep, LowercaseStep, StripStep, StripAccentsStep>;

// Applies the steps to `text` (valid UTF-8) one after the other.
std::string normalize_text(const std::vector<NormalizerStep>& steps, std::string_view text, MatchScratch& scratch);

// `text` with every match of `pattern` replaced by `content`.
std::string replace_matches(std::string_view text, const TextPattern& pattern, std::string_view content,
                            MatchScratch& scratch);

}  // namespace lcomp
