#include "tokenizer/token_decoder.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <utility>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/byte_pair_model.h"
#include "tokenizer/text_normalizer.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

using Tokens = std::vector<std::string>;

std::string join(const Tokens& tokens) { return std::accumulate(tokens.begin(), tokens.end(), std::string()); }

// The bytes that a token's characters stand for; the token itself when one of them stands for none (an added token).
std::string bytes_of(const std::string& token) {
  std::string bytes;
  for (std::size_t at = 0; at < token.size();) {
    const auto [code_point, size] = character_at(token, at);
    const auto byte = byte_of_character(code_point);
    if (!byte) return token;
    bytes += static_cast<char>(*byte);
    at += size;
  }
  return bytes;
}

std::string strip(std::string_view token, const StripDecoderStep& step) {
  for (std::size_t i = 0; i < step.start && !token.empty(); ++i) {
    const auto [code_point, size] = character_at(token, 0);
    if (code_point != step.content) break;
    token.remove_prefix(size);
  }
  for (std::size_t i = 0; i < step.stop && !token.empty(); ++i) {
    const auto [code_point, size] = character_before(token, token.size());
    if (code_point != step.content) break;
    token.remove_suffix(size);
  }
  return std::string(token);
}

struct Application {
  Tokens& tokens;

  void operator()(const ByteLevelDecoderStep&) const {
    std::string bytes;
    for (const std::string& token : tokens) bytes += bytes_of(token);
    tokens = {is_valid_utf8(bytes) ? std::move(bytes) : replace_invalid_utf8(bytes)};
  }

  void operator()(const ByteFallbackDecoderStep&) const {
    Tokens out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (is_valid_utf8(bytes)) {
        out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\xef\xbf\xbd");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const auto byte = BytePairModel::byte_of_token(token)) {
        bytes += static_cast<char>(*byte);
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  }

  void operator()(const FuseDecoderStep&) const { tokens = {join(tokens)}; }

  void operator()(const StripDecoderStep& step) const {
    for (std::string& token : tokens) token = strip(token, step);
  }

  void operator()(const ReplaceDecoderStep& step) const {
    MatchScratch scratch;
    for (std::string& token : tokens) token = replace_matches(token, step.pattern, step.content, scratch);
  }

  void operator()(const MetaspaceDecoderStep& step) const {
    const auto pattern = TextPattern::literal(step.replacement);
    MatchScratch scratch;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replace_matches(tokens[i], pattern, i == 0 && step.drop_in_first ? "" : " ", scratch);
    }
  }
};

}  // namespace

std::string decode_tokens(const std::vector<DecoderStep>& steps, std::vector<std::string> tokens) {
  if (steps.empty()) {
    std::string text;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0) text += ' ';
      text += tokens[i];
    }
    return text;
  }
  for (const DecoderStep& step : steps) std::visit(Application{tokens}, step);
  return join(tokens);
}

}  // namespace lcomp
