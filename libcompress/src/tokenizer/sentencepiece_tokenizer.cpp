#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/byte_pair_model.h"
#include "tokenizer/scratch_pool.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

using Piece = SentencePieceModel::Piece;
using PieceType = SentencePieceModel::PieceType;

constexpr std::string_view replacement_character = "\xef\xbf\xbd";

// SentencePiece merges any two neighbours whose concatenation is a piece, the piece of highest score first. This makes
// a table of merges of it: for each piece, all ways to cut it into two that are pieces themselves or single characters.
class MergeMaker {
 public:
  MergeMaker(const SentencePieceModel& model, const std::string& where) : model_(model), where_(where) {}

  std::pair<MergeTable, std::vector<char32_t>> make() {
    ids_.reserve(model_.pieces.size());
    for (std::size_t id = 0; id < model_.pieces.size(); ++id) {
      if (takes_part(model_.pieces[id])) ids_.emplace(model_.pieces[id].text, static_cast<TokenId>(id));
    }
    const std::vector<std::uint32_t> ranks = ranks_by_score();
    MergeTable merges;
    for (std::size_t id = 0; id < model_.pieces.size(); ++id) {
      const std::string_view text = model_.pieces[id].text;
      if (!takes_part(model_.pieces[id])) continue;
      for (std::size_t cut = character_at(text, 0).size; cut < text.size(); cut += character_at(text, cut).size) {
        const auto left = symbol_of(text.substr(0, cut));
        const auto right = symbol_of(text.substr(cut));
        if (left && right) merges.set(*left, *right, {ranks[id], static_cast<TokenId>(id)});
      }
    }
    return {std::move(merges), std::move(nameless_)};
  }

 private:
  static bool takes_part(const Piece& piece) {
    return piece.type == PieceType::normal || piece.type == PieceType::user_defined;
  }

  // 0 for the highest score; pieces of one score have one rank, so that the leftmost is merged first.
  std::vector<std::uint32_t> ranks_by_score() const {
    std::vector<std::size_t> order(model_.pieces.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto score = [this](std::size_t id) { return model_.pieces[id].score; };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score(a) > score(b); });
    std::vector<std::uint32_t> ranks(order.size());
    for (std::size_t i = 1; i < order.size(); ++i) {
      ranks[order[i]] = ranks[order[i - 1]] + (score(order[i]) < score(order[i - 1]) ? 1u : 0u);
    }
    return ranks;
  }

  std::optional<TokenId> symbol_of(std::string_view text) {
    const auto found = ids_.find(text);
    if (found != ids_.end()) return found->second;
    const auto [code_point, size] = character_at(text, 0);
    if (size != text.size()) return std::nullopt;
    const auto id = checked_cast<TokenId>(model_.pieces.size() + nameless_.size(), where_);
    nameless_.push_back(code_point);
    ids_.emplace(text, id);
    return id;
  }

  const SentencePieceModel& model_;
  const std::string& where_;
  std::unordered_map<std::string_view, TokenId> ids_;
  std::vector<char32_t> nameless_;
};

struct SentencePieceScratch {
  std::string normalized;
  std::vector<TextSegment> segments;
  BytePairScratch model;
};

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(const SentencePieceModel& model, BytePairModel encoder)
      : begin_(model.begin),
        add_dummy_prefix_(model.add_dummy_prefix),
        remove_extra_whitespaces_(model.remove_extra_whitespaces),
        unknown_surface_(model.unknown_surface),
        encoder_(std::move(encoder)) {
    for (std::size_t id = 0; id < model.pieces.size(); ++id) {
      const Piece& piece = model.pieces[id];
      types_.push_back(piece.type);
      if (piece.type != PieceType::user_defined) continue;
      AddedToken token;
      token.id = static_cast<TokenId>(id);
      token.content = piece.text;
      user_defined_.add(piece.text, token);
    }
  }

  std::vector<TokenId> encode(std::string_view text, bool add_special) const override {
    ScratchPool<SentencePieceScratch>::Lease scratch(pool_);
    std::vector<TokenId> ids;
    if (add_special && begin_) ids.push_back(*begin_);
    normalize(text, scratch->normalized);
    const std::string_view normalized = scratch->normalized;
    user_defined_.split(normalized, scratch->segments);
    for (const TextSegment& segment : scratch->segments) {
      if (segment.id) {
        ids.push_back(*segment.id);
      } else {
        encoder_.encode(normalized.substr(segment.range.begin, segment.range.end - segment.range.begin), scratch->model,
                        ids);
      }
    }
    if (text.size() > largest_text_kept) scratch.drop();
    return ids;
  }

  std::string decode(std::span<const TokenId> ids, bool skip_special) const override {
    std::string out, bytes;
    const auto flush_bytes = [&] {  // what of them is no UTF-8 becomes one U+FFFD a byte
      for (std::size_t at = 0; at < bytes.size();) {
        std::size_t size = std::min<std::size_t>(4, bytes.size() - at);
        while (size > 0 && !(is_valid_utf8({bytes.data() + at, size}) && character_at(bytes, at).size == size)) --size;
        if (size == 0) {
          out += replacement_character;
          ++at;
        } else {
          out.append(bytes, at, size);
          at += size;
        }
      }
      bytes.clear();
    };
    bool at_beginning = true;  // a space here is the one that was added before the text
    for (const TokenId id : ids) {
      const std::string piece = text_of(id);
      const PieceType type = types_[static_cast<std::size_t>(id)];
      if (type == PieceType::byte) {
        bytes += static_cast<char>(BytePairModel::byte_of_token(piece).value());
        at_beginning = false;
        continue;
      }
      flush_bytes();
      if (type == PieceType::control) {
        if (!skip_special) out += piece;
        continue;
      }
      if (type == PieceType::unknown) {
        out += unknown_surface_;
      } else {
        append_with_spaces(out, piece, at_beginning);
      }
      // Where spaces were removed before encoding, all those at the beginning of the result are dropped.
      at_beginning = at_beginning && remove_extra_whitespaces_ && piece == space_symbol;
    }
    flush_bytes();
    return out;
  }

  std::size_t vocab_size() const override { return types_.size(); }
  std::optional<TokenId> token_to_id(std::string_view token) const override {
    return encoder_.vocabulary().find(token);
  }
  std::optional<std::string> id_to_token(TokenId id) const override {
    const auto token = encoder_.vocabulary().token(id);
    return token ? std::optional<std::string>(*token) : std::nullopt;
  }

 private:
  std::string text_of(TokenId id) const {
    const auto piece = encoder_.vocabulary().token(id);
    if (!piece)
      throw Error({"decoding tokens", fmt::format("the id {}", id),
                   fmt::format("an id of the vocabulary, below {}", types_.size()), ""});
    return std::string(*piece);
  }

  void append_with_spaces(std::string& out, std::string_view piece, bool at_beginning) const {
    if (at_beginning && (add_dummy_prefix_ || remove_extra_whitespaces_) && piece.starts_with(space_symbol)) {
      piece.remove_prefix(space_symbol.size());
    }
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t next = std::min(piece.find(space_symbol, at), piece.size());
      out += piece.substr(at, next - at);
      if (next < piece.size()) out += ' ';
      at = next + space_symbol.size();
    }
  }

  void normalize(std::string_view text, std::string& out) const {
    std::string repaired;
    if (!is_valid_utf8(text)) {
      repaired = replace_invalid_utf8(text);
      text = repaired;
    }
    out.clear();
    if (remove_extra_whitespaces_) {
      while (text.starts_with(' ')) text.remove_prefix(1);
      while (text.ends_with(' ')) text.remove_suffix(1);
    }
    if (text.empty()) return;
    out.reserve(text.size() + text.size() / 2);
    if (add_dummy_prefix_) out += space_symbol;
    bool after_space = false;
    for (const char c : text) {
      if (c != ' ') {
        out += c;
      } else if (!(remove_extra_whitespaces_ && after_space)) {
        out += space_symbol;
      }
      after_space = c == ' ';
    }
  }

  std::optional<TokenId> begin_;
  bool add_dummy_prefix_;
  bool remove_extra_whitespaces_;
  std::string unknown_surface_;
  std::vector<PieceType> types_;
  AddedTokenMatcher user_defined_;
  BytePairModel encoder_;
  mutable ScratchPool<SentencePieceScratch> pool_;
};

void check_bytes(const SentencePieceModel& model, const Vocabulary& vocabulary, const std::string& where) {
  for (const Piece& piece : model.pieces) {
    if (piece.type == PieceType::byte && !BytePairModel::byte_of_token(piece.text)) {
      throw Error({where, fmt::format("the piece \"{}\" of type byte", excerpt(piece.text)), "<0x00> to <0xFF>", ""});
    }
  }
  if (!model.byte_fallback) return;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text = fmt::format("<0x{:02X}>", byte);
    const auto id = vocabulary.find(text);
    if (!id || model.pieces[static_cast<std::size_t>(*id)].type != PieceType::byte) {
      throw Error(
          {where, fmt::format("byte_fallback without the piece {}", text), "a piece of type byte for each byte", ""});
    }
  }
}

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const SentencePieceModel& model, const std::string& where) {
  Vocabulary vocabulary(where);
  vocabulary.reserve(model.pieces.size());
  for (std::size_t id = 0; id < model.pieces.size(); ++id)
    vocabulary.add(model.pieces[id].text, static_cast<std::int64_t>(id));
  vocabulary.finish();
  check_bytes(model, vocabulary, where);
  if (!model.unknown) throw Error({where, "no piece of type unknown", "one", ""});
  BytePairOptions options;
  options.unknown = model.unknown;
  options.fuse_unknown = true;
  options.byte_fallback = model.byte_fallback;
  auto [merges, nameless] = MergeMaker(model, where).make();
  options.characters_without_token = std::move(nameless);
  return std::make_unique<SentencePieceTokenizer>(
      model, BytePairModel(std::move(vocabulary), std::move(merges), std::move(options)));
}

}  // namespace lcomp
