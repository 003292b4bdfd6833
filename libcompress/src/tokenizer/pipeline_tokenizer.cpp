#include "pipeline_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "lcomp/core/error.h"
#include "scratch_pool.h"
#include "unicode.h"

namespace lcomp {
namespace {

constexpr std::size_t largest_text_kept = 16 << 20;  // working memory that a longer text needed is not kept

struct EncodeScratch {
  std::vector<TextSegment> raw_segments, normalized_segments;
  PreTokenizedText pre_tokenized;
  MatchScratch match;
  BytePairScratch model;
};

class PipelineTokenizer : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerParts parts)
      : parts_(std::move(parts)), vocab_size_(parts_.model->vocabulary().id_limit()) {
    MatchScratch scratch;
    for (const bool special : {true, false}) {
      for (const AddedToken& token : parts_.added_tokens) {
        if (token.special == special) add(token, scratch);
      }
    }
  }

  std::vector<TokenId> encode(std::string_view text, bool add_special) const override {
    std::string repaired;
    if (!is_valid_utf8(text)) {
      repaired = replace_invalid_utf8(text);
      text = repaired;
    }
    ScratchPool<EncodeScratch>::Lease scratch(pool_);
    std::vector<TokenId> ids;
    if (add_special) ids = parts_.surrounding.before;
    raw_matcher_.split(text, scratch->raw_segments);
    for (const TextSegment& segment : scratch->raw_segments) {
      if (segment.id) {
        ids.push_back(*segment.id);
      } else {
        const std::string_view part = text.substr(segment.range.begin, segment.range.end - segment.range.begin);
        encode_part(part, segment.range.begin == 0, *scratch, ids);
      }
    }
    if (add_special) ids.insert(ids.end(), parts_.surrounding.after.begin(), parts_.surrounding.after.end());
    if (text.size() > largest_text_kept) scratch.drop();
    return ids;
  }

  std::string decode(std::span<const TokenId> ids, bool skip_special) const override {
    std::vector<std::string> tokens;
    tokens.reserve(ids.size());
    for (const TokenId id : ids) {
      auto token = id_to_token(id);
      if (!token)
        throw Error({"decoding tokens", fmt::format("the id {}", id),
                     fmt::format("an id of the vocabulary, below {}", vocab_size_), ""});
      if (skip_special && special_.contains(*token)) continue;
      tokens.push_back(std::move(*token));
    }
    return decode_tokens(parts_.decoder, std::move(tokens));
  }

  std::size_t vocab_size() const override { return vocab_size_; }

  std::optional<TokenId> token_to_id(std::string_view token) const override {
    const auto added = added_ids_.find(std::string(token));
    return added != added_ids_.end() ? added->second : parts_.model->vocabulary().find(token);
  }

  std::optional<std::string> id_to_token(TokenId id) const override {
    const auto added = added_contents_.find(id);
    if (added != added_contents_.end()) return added->second;
    const auto token = parts_.model->vocabulary().token(id);
    return token ? std::optional<std::string>(*token) : std::nullopt;
  }

 private:
  void add(const AddedToken& token, MatchScratch& scratch) {
    if (token.normalized) {
      normalized_matcher_.add(normalize_text(parts_.normalizer, token.content, scratch), token);
    } else {
      raw_matcher_.add(token.content, token);
    }
    if (token.special) special_.insert(token.content);
    added_ids_[token.content] = token.id;
    added_contents_[token.id] = token.content;
    vocab_size_ = std::max(vocab_size_, static_cast<std::size_t>(token.id) + 1);
  }

  // `part`: of the text, between added tokens.
  void encode_part(std::string_view part, bool at_beginning, EncodeScratch& scratch, std::vector<TokenId>& ids) const {
    std::string normalized;
    if (!parts_.normalizer.empty()) {
      normalized = normalize_text(parts_.normalizer, part, scratch.match);
      part = normalized;
    }
    normalized_matcher_.split(part, scratch.normalized_segments);
    for (const TextSegment& segment : scratch.normalized_segments) {
      if (segment.id) {
        ids.push_back(*segment.id);
        continue;
      }
      PreTokenizedText& text = scratch.pre_tokenized;
      const TextRange& range = segment.range;
      text.start(part.substr(range.begin, range.end - range.begin), at_beginning && range.begin == 0);
      for (const PreTokenizerStep& step : parts_.pre_tokenizer) text.apply(step, scratch.match);
      for (const TextRange& piece : text.pieces()) parts_.model->encode(text.piece(piece), scratch.model, ids);
    }
  }

  TokenizerParts parts_;
  std::size_t vocab_size_;
  AddedTokenMatcher raw_matcher_, normalized_matcher_;
  std::unordered_map<std::string, TokenId> added_ids_;
  std::unordered_map<TokenId, std::string> added_contents_;
  std::unordered_set<std::string> special_;
  mutable ScratchPool<EncodeScratch> pool_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline_tokenizer(TokenizerParts parts) {
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

}  // namespace lcomp
