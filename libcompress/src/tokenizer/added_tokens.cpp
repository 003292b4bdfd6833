#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

bool is_single_word(std::string_view text, TextRange match) {
  if (match.begin > 0 && is_word_character(character_before(text, match.begin).code_point)) return false;
  return match.end == text.size() || !is_word_character(character_at(text, match.end).code_point);
}

std::size_t white_space_begin(std::string_view text, std::size_t end) {
  while (end > 0) {
    const auto [code_point, size] = character_before(text, end);
    if (!is_white_space(code_point)) break;
    end -= size;
  }
  return end;
}

std::size_t white_space_end(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    const auto [code_point, size] = character_at(text, begin);
    if (!is_white_space(code_point)) break;
    begin += size;
  }
  return begin;
}

}  // namespace

std::uint32_t AddedTokenMatcher::child_of(std::uint32_t node, char byte) const {
  std::uint32_t child = nodes_[node].first_child;
  while (child != no_node && nodes_[child].byte != byte) child = nodes_[child].next_sibling;
  return child;
}

void AddedTokenMatcher::add(std::string_view pattern, const AddedToken& token) {
  if (pattern.empty()) return;
  const auto new_node = [this](char byte) {
    nodes_.push_back({.byte = byte});
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  };
  std::uint32_t& first = first_nodes_[static_cast<std::uint8_t>(pattern[0])];
  if (first == no_node) first = new_node(pattern[0]);
  std::uint32_t node = first;
  for (const char byte : pattern.substr(1)) {
    std::uint32_t child = child_of(node, byte);
    if (child == no_node) {
      child = new_node(byte);
      nodes_[child].next_sibling = nodes_[node].first_child;
      nodes_[node].first_child = child;
    }
    node = child;
  }
  nodes_[node].token = static_cast<std::uint32_t>(tokens_.size());
  tokens_.push_back(token);
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::longest_at(std::string_view text,
                                                                      std::size_t position) const {
  std::uint32_t node = first_nodes_[static_cast<std::uint8_t>(text[position])];
  std::optional<Match> longest;
  for (std::size_t size = 1; node != no_node; ++size) {
    if (nodes_[node].token != no_node) longest = Match{size, nodes_[node].token};
    if (position + size == text.size()) break;
    node = child_of(node, text[position + size]);
  }
  return longest;
}

void AddedTokenMatcher::split(std::string_view text, std::vector<TextSegment>& segments) const {
  segments.clear();
  std::size_t written = 0;  // the text before it is in a segment
  for (std::size_t at = 0; at < text.size() && !empty();) {
    if (first_nodes_[static_cast<std::uint8_t>(text[at])] == no_node) {
      ++at;
      continue;
    }
    const auto match = longest_at(text, at);
    if (!match) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[match->token];
    TextRange range{at, at + match->size};
    at = range.end;
    if (token.single_word && !is_single_word(text, range)) continue;
    if (token.lstrip) range.begin = std::max(white_space_begin(text, range.begin), written);
    if (token.rstrip) range.end = white_space_end(text, range.end);
    if (range.begin >= range.end) continue;  // white space that the token before it took along
    if (written < range.begin) segments.push_back({{written, range.begin}, std::nullopt});
    segments.push_back({range, token.id});
    written = range.end;
  }
  if (written != text.size()) segments.push_back({{written, text.size()}, std::nullopt});
}

}  // namespace lcomp
