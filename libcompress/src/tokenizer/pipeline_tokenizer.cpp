#include "tokenizer/pipeline_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "lcomp/core/error.h"
#include "tokenizer/scratch_pool.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

struct PipelineScratch {
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
    for (const AddedToken& token : parts_.added_tokens) add(token, scratch);
  }

  std::vector<TokenId> encode(std::string_view text, bool add_special) const override {
    std::string repaired;
    if (!is_valid_utf8(text)) {
      repaired = replace_invalid_utf8(text);
      text = repaired;
    }
    ScratchPool<PipelineScratch>::Lease scratch(pool_);
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
      if (const auto added = added_by_id_.find(id); added != added_by_id_.end()) {
        if (!(skip_special && added->second.special)) tokens.push_back(added->second.decoded);
      } else if (const auto token = parts_.model->vocabulary().token(id)) {
        tokens.emplace_back(*token);
      } else {
        throw Error({"decoding tokens", fmt::format("the id {}", id),
                     fmt::format("an id of the vocabulary, below {}", vocab_size_), ""});
      }
    }
    return decode_tokens(parts_.decoder, std::move(tokens));
  }

  std::size_t vocab_size() const override { return vocab_size_; }

  std::optional<TokenId> token_to_id(std::string_view token) const override {
    const auto added = added_ids_.find(std::string(token));
    return added != added_ids_.end() ? added->second : parts_.model->vocabulary().find(token);
  }

  std::optional<std::string> id_to_token(TokenId id) const override {
    const auto added = added_by_id_.find(id);
    if (added != added_by_id_.end()) return added->second.content;
    const auto token = parts_.model->vocabulary().token(id);
    return token ? std::optional<std::string>(*token) : std::nullopt;
  }

 private:
  struct Added {
    std::string content;
    std::string decoded;  // what the decoder gets: the content as it was searched for
    bool special;
  };

  void add(const AddedToken& token, MatchScratch& scratch) {
    Added added{token.content, token.content, token.special};
    if (token.normalized) {
      added.decoded = normalize_text(parts_.normalizer, token.content, scratch);
      normalized_matcher_.add(added.decoded, token);
    } else {
      raw_matcher_.add(token.content, token);
    }
    added_ids_[token.content] = token.id;
    added_by_id_[token.id] = std::move(added);
    vocab_size_ = std::max(vocab_size_, static_cast<std::size_t>(token.id) + 1);
  }

  // `part`: of the text, between added tokens.
  void encode_part(std::string_view part, bool at_beginning, PipelineScratch& scratch,
                   std::vector<TokenId>& ids) const {
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
  std::unordered_map<TokenId, Added> added_by_id_;
  mutable ScratchPool<PipelineScratch> pool_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline_tokenizer(TokenizerParts parts) {
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

}  // namespace lcomp
