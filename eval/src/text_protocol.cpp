#include "lcomp/eval/text_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/eval/texts.h"
#include "lcomp/io/atomic_file.h"

namespace lcomp {
namespace {

constexpr std::int64_t kLongestWindow = 1 << 20;

std::string kind_name(TextProtocol::Kind kind) {
  switch (kind) {
    case TextProtocol::Kind::wikitext2:
      return "wikitext2";
    case TextProtocol::Kind::c4:
      return "c4";
    case TextProtocol::Kind::file:
      return "file";
  }
  return {};
}

std::string begin_token_text(const Tokenizer& tokenizer, bool add_special) {
  const auto special = tokenizer.encode("", add_special);
  if (special.empty()) return "no begin token";
  return fmt::format("begin token {}", special.front());
}

}  // namespace

TextProtocol TextProtocol::from_config(ConfigReader& config) {
  TextProtocol protocol;
  const std::string kind = config.one_of_or("protocol", "wikitext2", {"wikitext2", "c4", "file"});
  if (kind == "c4") protocol.kind = Kind::c4;
  if (kind == "file") {
    protocol.kind = Kind::file;
    protocol.file = config.string("file");
  }
  const bool by_text = protocol.kind == Kind::c4;
  protocol.window = static_cast<std::size_t>(config.integer_or("window", by_text ? 1024 : 512, 2, kLongestWindow));
  const auto largest = static_cast<std::int64_t>(protocol.window) - 1;
  protocol.first_scored = static_cast<std::size_t>(
      config.integer_or("first_scored", by_text ? std::min<std::int64_t>(512, largest) : 1, 1, largest));
  if (config.has("sequences")) {
    protocol.sequences = static_cast<std::size_t>(config.integer("sequences", 1, std::int64_t{1} << 40));
  }
  protocol.add_special = config.boolean_or("bos", true);
  return protocol;
}

nlohmann::json TextProtocol::to_json() const {
  nlohmann::json json = {
      {"protocol", kind_name(kind)}, {"window", window}, {"first_scored", first_scored}, {"bos", add_special}};
  if (kind == Kind::file) json["file"] = file.string();
  if (sequences) json["sequences"] = *sequences;
  return json;
}

std::string TextProtocol::name() const { return kind == Kind::file ? file.filename().string() : kind_name(kind); }

std::size_t ScoringBatch::scored_tokens() const { return tokens.tokens() - tokens.sequences() * first_scored; }

std::string hash_batch(const ScoringBatch& batch) {
  Hasher hasher;
  hasher.update(fmt::format("{} {}", batch.first_scored, batch.mean_over_sequences));
  hasher.update(std::as_bytes(std::span(batch.tokens.ids)));
  hasher.update(std::as_bytes(std::span(batch.tokens.offsets)));
  return hasher.hex();
}

ScoringBatch make_scoring_batch(const TextProtocol& protocol, const Tokenizer& tokenizer, const std::string& data) {
  std::vector<std::string> texts;
  bool by_text = protocol.kind == TextProtocol::Kind::c4;
  std::string where = protocol.name();
  const std::size_t wanted = protocol.sequences.value_or(std::numeric_limits<std::size_t>::max());
  switch (protocol.kind) {
    case TextProtocol::Kind::wikitext2:
      texts.push_back(wikitext2_test(data_folder(data)));
      break;
    case TextProtocol::Kind::c4:
      texts = c4_validation(data_folder(data), std::numeric_limits<std::size_t>::max());
      break;
    case TextProtocol::Kind::file:
      where = protocol.file.string();
      by_text = protocol.file.extension() == ".jsonl";
      texts = by_text ? read_jsonl_texts(protocol.file) : std::vector{read_text_file(protocol.file)};
      break;
  }

  ScoringBatch batch;
  batch.first_scored = protocol.first_scored;
  batch.mean_over_sequences = by_text;
  std::size_t longest = 0;
  for (const std::string& text : texts) {
    if (batch.tokens.sequences() >= wanted) break;
    const std::vector<TokenId> ids = tokenizer.encode(text, protocol.add_special);
    longest = std::max(longest, ids.size());
    const std::size_t windows = by_text ? std::min<std::size_t>(1, ids.size() / protocol.window)
                                        : std::min(ids.size() / protocol.window, wanted);
    for (std::size_t w = 0; w < windows; ++w) {
      batch.tokens.add(std::span(ids).subspan(w * protocol.window, protocol.window));
    }
  }
  if (batch.tokens.sequences() == 0) {
    throw Error({where, fmt::format("at most {} tokens in a text", longest),
                 fmt::format("at least one window of {} tokens", protocol.window), "choose a smaller window"});
  }
  batch.description =
      fmt::format("{}, {} {} of {} tokens, positions {} to {} scored, {}, {}", protocol.name(),
                  batch.tokens.sequences(), by_text ? "texts" : "non-overlapping windows", protocol.window,
                  protocol.first_scored, protocol.window - 1, begin_token_text(tokenizer, protocol.add_special),
                  by_text ? "mean of the texts' perplexities" : "exp of the mean negative log-likelihood");
  return batch;
}

}  // namespace lcomp
