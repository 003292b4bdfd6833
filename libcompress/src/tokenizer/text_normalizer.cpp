#include "tokenizer/text_normalizer.h"

namespace lcomp {
namespace {

std::string strip(std::string_view text, const StripStep& step) {
  while (step.left && !text.empty()) {
    const auto [code_point, size] = character_at(text, 0);
    if (!is_white_space(code_point)) break;
    text.remove_prefix(size);
  }
  while (step.right && !text.empty()) {
    const auto [code_point, size] = character_before(text, text.size());
    if (!is_white_space(code_point)) break;
    text.remove_suffix(size);
  }
  return std::string(text);
}

std::string without_marks(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code_point, size] = character_at(text, at);
    if (!is_mark(code_point)) out += text.substr(at, size);
    at += size;
  }
  return out;
}

struct Application {
  std::string_view text;
  MatchScratch& scratch;

  std::string operator()(NormalizationForm form) const { return normalize_unicode(text, form); }
  std::string operator()(const PrependStep& step) const {
    return text.empty() ? std::string() : step.prefix + std::string(text);
  }
  std::string operator()(const ReplaceStep& step) const {
    return replace_matches(text, step.pattern, step.content, scratch);
  }
  std::string operator()(const LowercaseStep&) const { return to_lower_case(text); }
  std::string operator()(const StripStep& step) const { return strip(text, step); }
  std::string operator()(const StripAccentsStep&) const { return without_marks(text); }
};

}  // namespace

std::string replace_matches(std::string_view text, const TextPattern& pattern, std::string_view content,
                            MatchScratch& scratch) {
  std::vector<TextRange> matches;
  pattern.find_all(text, scratch, matches);
  std::string out;
  out.reserve(text.size() + matches.size() * content.size());
  std::size_t written = 0;
  for (const TextRange& match : matches) {
    out += text.substr(written, match.begin - written);
    out += content;
    written = match.end;
  }
  out += text.substr(written);
  return out;
}

std::string normalize_text(const std::vector<NormalizerStep>& steps, std::string_view text, MatchScratch& scratch) {
  std::string normalized(text);
  for (const NormalizerStep& step : steps) normalized = std::visit(Application{normalized, scratch}, step);
  return normalized;
}

}  // namespace lcomp
