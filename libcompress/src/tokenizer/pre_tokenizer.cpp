#include "tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

void push_piece(std::vector<TextRange>& pieces, std::size_t begin, std::size_t end) {
  if (begin < end) pieces.push_back({begin, end});
}

struct Stretch {
  TextRange range;
  bool is_match;
};

// The matches and what lies between them.
std::vector<Stretch> stretches_of(const std::vector<TextRange>& matches, std::size_t size, bool invert) {
  std::vector<Stretch> stretches;
  std::size_t end = 0;
  for (const TextRange& match : matches) {
    if (end != match.begin) stretches.push_back({{end, match.begin}, invert});
    stretches.push_back({match, !invert});
    end = match.end;
  }
  if (end != size) stretches.push_back({{end, size}, invert});
  return stretches;
}

}  // namespace

TextPattern gpt2_pattern() {
  return TextPattern::regular_expression(
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", "the pattern of GPT-2");
}

SplitStep digits_step(bool individual_digits) {
  return {TextPattern::characters(is_numeric), individual_digits ? SplitBehavior::isolated : SplitBehavior::contiguous,
          false};
}

SplitStep punctuation_step(SplitBehavior behavior) {
  return {TextPattern::characters(is_punctuation), behavior, false};
}

SplitStep whitespace_step() {
  // Words, and what is neither word nor space. The word characters are those of UTS 18 here, not those of \w.
  return {TextPattern::regular_expression(R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}]+)"
                                          R"(|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}\s]+)",
                                          "the pattern of Whitespace"),
          SplitBehavior::removed, true};
}

SplitStep whitespace_split_step() { return {TextPattern::characters(is_white_space), SplitBehavior::removed, false}; }

void split_at_matches(const std::vector<TextRange>& matches, std::size_t size, SplitBehavior behavior, bool invert,
                      std::size_t offset, std::vector<TextRange>& pieces) {
  if (behavior == SplitBehavior::isolated) {  // the common one: no list of stretches
    std::size_t end = 0;
    for (const TextRange& match : matches) {
      push_piece(pieces, offset + end, offset + match.begin);
      push_piece(pieces, offset + match.begin, offset + match.end);
      end = match.end;
    }
    push_piece(pieces, offset + end, offset + size);
    return;
  }
  std::vector<Stretch> stretches = stretches_of(matches, size, invert);
  const bool backwards = behavior == SplitBehavior::merged_with_next;
  if (backwards) std::reverse(stretches.begin(), stretches.end());
  std::vector<TextRange> merged;
  bool previous_was_match = false;
  for (const Stretch& stretch : stretches) {
    bool joins = false;
    switch (behavior) {
      case SplitBehavior::removed:
      case SplitBehavior::isolated:
        break;
      case SplitBehavior::merged_with_previous:
      case SplitBehavior::merged_with_next:
        joins = stretch.is_match && !previous_was_match;
        break;
      case SplitBehavior::contiguous:
        joins = stretch.is_match == previous_was_match;
        break;
    }
    previous_was_match = stretch.is_match;
    if (behavior == SplitBehavior::removed && stretch.is_match) continue;
    if (!joins || merged.empty()) {
      merged.push_back(stretch.range);
    } else if (backwards) {
      merged.back().begin = stretch.range.begin;
    } else {
      merged.back().end = stretch.range.end;
    }
  }
  if (backwards) std::reverse(merged.begin(), merged.end());
  for (const TextRange& range : merged) push_piece(pieces, offset + range.begin, offset + range.end);
}

void PreTokenizedText::start(std::string_view text, bool at_beginning) {
  text_ = text;
  pieces_.clear();
  push_piece(pieces_, 0, text.size());
  first_is_at_beginning_ = at_beginning;
}

void PreTokenizedText::apply(const PreTokenizerStep& step, MatchScratch& scratch) {
  std::visit([&](const auto& s) { apply_step(s, scratch); }, step);
}

void PreTokenizedText::split(const TextPattern& pattern, SplitBehavior behavior, bool invert, MatchScratch& scratch) {
  new_pieces_.clear();
  for (const TextRange& range : pieces_) {
    const std::string_view text = piece(range);
    pattern.find_all(text, scratch, matches_);
    split_at_matches(matches_, text.size(), behavior, invert, range.begin, new_pieces_);
  }
  first_is_at_beginning_ = first_is_at_beginning_ && !pieces_.empty() && !new_pieces_.empty() &&
                           pieces_.front().begin == new_pieces_.front().begin;
  pieces_.swap(new_pieces_);
}

// Replaces the text by what append_piece(out, piece, index) writes for each piece.
template <typename Rewrite>
void PreTokenizedText::rewrite(Rewrite append_piece) {
  std::string& out = buffers_[free_buffer_];
  out.clear();
  out.reserve(text_.size() + text_.size() / 4);
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const std::size_t begin = out.size();
    append_piece(out, piece(pieces_[i]), i);
    pieces_[i] = {begin, out.size()};
  }
  text_ = out;
  free_buffer_ = 1 - free_buffer_;
}

void PreTokenizedText::apply_step(const SplitStep& step, MatchScratch& scratch) {
  split(step.pattern, step.behavior, step.invert, scratch);
}

void PreTokenizedText::apply_step(const ByteLevelStep& step, MatchScratch& scratch) {
  if (step.add_prefix_space) {
    rewrite([](std::string& out, std::string_view piece, std::size_t) {
      if (!piece.starts_with(' ')) out += ' ';
      out += piece;
    });
  }
  if (step.pattern) split(*step.pattern, SplitBehavior::isolated, false, scratch);

  rewrite([](std::string& out, std::string_view piece, std::size_t) { append_byte_characters(out, piece); });
}

void PreTokenizedText::apply_step(const MetaspaceStep& step, MatchScratch& scratch) {
  rewrite([&](std::string& out, std::string_view piece, std::size_t index) {
    const bool prepends = step.prepend == PrependScheme::always ||
                          (step.prepend == PrependScheme::first && index == 0 && first_is_at_beginning_);
    if (prepends && !piece.starts_with(' ') && !piece.starts_with(step.replacement)) out += step.replacement;
    for (const char c : piece) {
      if (c == ' ') {
        out += step.replacement;
      } else {
        out += c;
      }
    }
  });
  if (step.split) split(TextPattern::literal(step.replacement), SplitBehavior::merged_with_next, false, scratch);
}

}  // namespace lcomp
