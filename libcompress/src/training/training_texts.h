#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/hash.h"
#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {

// The texts of a training file as tokens. A file has one JSON object a line:
//   {"text": "..."}                    every token counts 1, or
//   {"parts": [["text", weight], ...]} the text is the parts' concatenation, and the loss of predicting a token counts
//                                      by the weight (>= 0) of the part that holds the token's last byte
// Other keys are left alone. Tokens are those of the text as a whole, with what the tokenizer's post-processor adds
// (its begin token; end tokens count as the last part does), and `end_token` after them where there is one.
class TrainingTexts {
 public:
  // Throws Error naming the file and line for a line that is neither, a weight that is negative or not finite, and
  // parts whose tokens don't give their text back (a tokenizer that normalises), and for a file without texts. Texts of
  // a single token are left out: there is nothing to predict.
  static TrainingTexts read(const std::filesystem::path& path, const Tokenizer& tokenizer,
                            std::optional<TokenId> end_token);

  std::size_t texts() const { return offsets_.size() - 1; }
  std::size_t tokens() const { return ids_.size(); }
  std::size_t length(std::size_t text) const { return offsets_[text + 1] - offsets_[text]; }
  std::span<const TokenId> ids(std::size_t text) const;
  // Of each token as a target; empty: all 1.
  std::span<const float> weights(std::size_t text) const;
  // Of tokens and weights.
  std::string hash() const;

 private:
  std::vector<std::size_t> offsets_ = {0};
  std::vector<TokenId> ids_;
  std::vector<float> weights_;  // [tokens], or empty where no text has parts
};

// For tokens of `text`, how many bytes of it lie before the end of each: the last of them is text.size(). Throws Error
// naming `where` when decoding the tokens doesn't give the text.
std::vector<std::size_t> token_ends(const Tokenizer& tokenizer, const std::string& text, std::span<const TokenId> ids,
                                    const std::string& where);

}  // namespace lcomp
