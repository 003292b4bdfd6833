#include "training/training_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string_view>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

struct WeightedText {
  std::string text;
  std::vector<std::size_t> ends;  // of the parts, in bytes; empty: every token counts 1
  std::vector<float> weights;     // of the parts
};

WeightedText read_line(const std::string& line, const std::string& where) {
  const nlohmann::json object = parse_json(line, where);
  ConfigReader reader(object, where);
  WeightedText text;
  if (reader.has("text") == reader.has("parts")) {
    throw Error({where, reader.has("text") ? "both \"text\" and \"parts\"" : "neither \"text\" nor \"parts\"",
                 R"({"text": "..."} or {"parts": [["text", weight], ...]})", ""});
  }
  if (reader.has("text")) {
    text.text = reader.string("text");
    return text;
  }
  for (const nlohmann::json& part : reader.array("parts")) {
    const bool pair = part.is_array() && part.size() == 2 && part[0].is_string() && part[1].is_number();
    const double weight = pair ? part[1].get<double>() : -1;
    if (!(weight >= 0) || !std::isfinite(static_cast<float>(weight))) {
      throw Error({reader.where("parts"), part.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                   R"(["text", weight] with a weight of 0 or more)", ""});
    }
    text.text += part[0].get_ref<const std::string&>();
    text.ends.push_back(text.text.size());
    text.weights.push_back(static_cast<float>(weight));
  }
  return text;
}

// Bytes that a token stands for: what it decodes to alone, or where that is no whole UTF-8 (tokens of a byte-level
// alphabet, which has a character for each byte), its characters. A guess: the caller checks the sum.
std::size_t likely_bytes(const Tokenizer& tokenizer, TokenId id) {
  const std::string decoded = tokenizer.decode(std::span(&id, 1));
  if (decoded.find("\xEF\xBF\xBD") == std::string::npos) return decoded.size();
  const std::string token = tokenizer.id_to_token(id).value_or("");
  return static_cast<std::size_t>(
      std::ranges::count_if(token, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

// What the post-processor puts before and after a text.
struct Surroundings {
  std::vector<TokenId> before, after;
};

Surroundings surroundings(const Tokenizer& tokenizer) {
  const std::vector<TokenId> plain = tokenizer.encode("a", false), whole = tokenizer.encode("a", true);
  const auto at = std::search(whole.begin(), whole.end(), plain.begin(), plain.end());
  Surroundings around;
  if (at == whole.end()) return around;
  around.before.assign(whole.begin(), at);
  around.after.assign(at + static_cast<std::ptrdiff_t>(plain.size()), whole.end());
  return around;
}

struct Tokens {
  std::vector<TokenId> ids;
  std::vector<float> weights;
};

Tokens tokens_of(const WeightedText& text, const Tokenizer& tokenizer, const Surroundings& around,
                 std::optional<TokenId> end_token, const std::string& where) {
  Tokens tokens;
  const std::vector<TokenId> inner = tokenizer.encode(text.text, false);
  tokens.ids = around.before;
  tokens.ids.insert(tokens.ids.end(), inner.begin(), inner.end());
  tokens.ids.insert(tokens.ids.end(), around.after.begin(), around.after.end());
  if (end_token && (tokens.ids.empty() || tokens.ids.back() != *end_token)) tokens.ids.push_back(*end_token);
  if (text.ends.empty()) return tokens;
  tokens.weights.assign(tokens.ids.size(), text.weights.empty() ? 0 : text.weights.back());
  std::fill_n(tokens.weights.begin(), around.before.size(), 0.0F);
  const std::vector<std::size_t> ends = token_ends(tokenizer, text.text, inner, where);
  for (std::size_t t = 0, part = 0; t < inner.size(); ++t) {
    while (part + 1 < text.ends.size() && ends[t] > text.ends[part]) ++part;
    tokens.weights[around.before.size() + t] = text.weights[part];
  }
  return tokens;
}

}  // namespace

std::vector<std::size_t> token_ends(const Tokenizer& tokenizer, const std::string& text, std::span<const TokenId> ids,
                                    const std::string& where) {
  std::vector<std::size_t> ends(ids.size());
  std::size_t end = 0;
  for (std::size_t t = 0; t < ids.size(); ++t) ends[t] = end += likely_bytes(tokenizer, ids[t]);
  if (end == text.size()) return ends;
  if (tokenizer.decode(ids) != text) {
    throw Error({where, "a text with parts that the tokenizer doesn't give back", "one that it decodes as it was",
                 "use \"text\", or a tokenizer that doesn't normalise"});
  }
  // Where an incomplete character is cut off, decoding writes another: the longest common beginning counts.
  for (std::size_t t = 0; t < ids.size(); ++t) {
    const std::string decoded = tokenizer.decode(ids.first(t + 1));
    const std::size_t longest = std::min(decoded.size(), text.size());
    ends[t] = static_cast<std::size_t>(
        std::mismatch(decoded.begin(), decoded.begin() + static_cast<std::ptrdiff_t>(longest), text.begin()).first -
        decoded.begin());
  }
  return ends;
}

TrainingTexts TrainingTexts::read(const std::filesystem::path& path, const Tokenizer& tokenizer,
                                  std::optional<TokenId> end_token) {
  std::vector<std::string> lines, places;
  {
    std::istringstream text(read_text_file(path));
    std::string line;
    for (std::size_t number = 1; std::getline(text, line); ++number) {
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      lines.push_back(std::move(line));
      places.push_back(fmt::format("{}: line {}", path.string(), number));
    }
  }
  const Surroundings around = surroundings(tokenizer);
  std::vector<Tokens> tokens(lines.size());
  parallel_for(
      0, lines.size(),
      [&](std::size_t i) {
        tokens[i] = tokens_of(read_line(lines[i], places[i]), tokenizer, around, end_token, places[i]);
      },
      16);
  TrainingTexts texts;
  const bool weighted = std::ranges::any_of(tokens, [](const Tokens& t) { return !t.weights.empty(); });
  for (const Tokens& text : tokens) {
    if (text.ids.size() < 2) continue;
    texts.ids_.insert(texts.ids_.end(), text.ids.begin(), text.ids.end());
    texts.offsets_.push_back(texts.ids_.size());
    if (!weighted) continue;
    if (text.weights.empty()) {
      texts.weights_.resize(texts.ids_.size(), 1.0F);
    } else {
      texts.weights_.insert(texts.weights_.end(), text.weights.begin(), text.weights.end());
    }
  }
  if (texts.texts() == 0) {
    throw Error({path.string(), "no texts", R"(lines of {"text": "..."} or {"parts": [["text", weight], ...]})", ""});
  }
  return texts;
}

std::span<const TokenId> TrainingTexts::ids(std::size_t text) const {
  return std::span(ids_).subspan(offsets_[text], length(text));
}

std::span<const float> TrainingTexts::weights(std::size_t text) const {
  if (weights_.empty()) return {};
  return std::span(weights_).subspan(offsets_[text], length(text));
}

std::string TrainingTexts::hash() const {
  Hasher hasher;
  hasher.update(std::as_bytes(std::span(offsets_)));
  hasher.update(std::as_bytes(std::span(ids_)));
  hasher.update(std::as_bytes(std::span(weights_)));
  return hasher.hex();
}

}  // namespace lcomp
