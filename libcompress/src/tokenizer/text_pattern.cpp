#include "tokenizer/text_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <fmt/format.h>

#include <array>
#include <cassert>
#include <new>
#include <optional>
#include <utility>

#include "lcomp/core/error.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

struct Pcre2Free {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
  void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
};

template <typename T>
std::unique_ptr<T, Pcre2Free> owned(T* pointer) {
  if (pointer == nullptr) throw std::bad_alloc();
  return std::unique_ptr<T, Pcre2Free>(pointer);
}

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

struct MatchScratch::State {
  std::unique_ptr<pcre2_match_data, Pcre2Free> match = owned(pcre2_match_data_create(1, nullptr));
  std::unique_ptr<pcre2_match_context, Pcre2Free> context = owned(pcre2_match_context_create(nullptr));
  std::unique_ptr<pcre2_jit_stack, Pcre2Free>
      stack;  // made when a compiled pattern is first used; grows to 64 MiB on demand
};

MatchScratch::MatchScratch() : state_(std::make_unique<State>()) {}
MatchScratch::~MatchScratch() = default;
MatchScratch::MatchScratch(MatchScratch&&) noexcept = default;
MatchScratch& MatchScratch::operator=(MatchScratch&&) noexcept = default;

struct TextPattern::Regex {
  std::string expression;
  std::unique_ptr<pcre2_code, Pcre2Free> code;

  static void find_all(const Regex& regex, std::string_view text, MatchScratch::State& scratch,
                       std::vector<TextRange>& matches);
};

void TextPattern::Regex::find_all(const Regex& regex, std::string_view text, MatchScratch::State& scratch,
                                  std::vector<TextRange>& matches) {
  if (scratch.stack == nullptr) {
    scratch.stack = owned(pcre2_jit_stack_create(32 * 1024, 64 * 1024 * 1024, nullptr));
    pcre2_jit_stack_assign(scratch.context.get(), nullptr, scratch.stack.get());
  }
  const auto* const subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* const range = pcre2_get_ovector_pointer(scratch.match.get());
  std::size_t position = 0;
  std::optional<std::size_t> last_end;
  while (position <= text.size()) {
    const int result = pcre2_match(regex.code.get(), subject, text.size(), position, PCRE2_NO_UTF_CHECK,
                                   scratch.match.get(), scratch.context.get());
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      throw Error({fmt::format("the regular expression {}", excerpt(regex.expression)),
                   fmt::format("matching a text of {} bytes failed: {}", text.size(), pcre2_message(result)), "", ""});
    }
    const TextRange match{range[0], range[1]};
    if (match.begin == match.end && last_end == match.end) {
      position += position < text.size() ? character_at(text, position).size : 1;
      continue;
    }
    position = match.end;
    last_end = match.end;
    matches.push_back(match);
  }
}

TextPattern TextPattern::literal(std::string text) {
  assert(!text.empty());
  return TextPattern(Literal{std::move(text)});
}

TextPattern TextPattern::characters(bool (*is_member)(char32_t)) { return TextPattern(Characters{is_member}); }

TextPattern TextPattern::regular_expression(std::string_view expression, const std::string& where) {
  const std::string translated = oniguruma_to_pcre2(expression, where);
  const auto context = owned(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  std::unique_ptr<pcre2_code, Pcre2Free> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, context.get()));
  if (code == nullptr) {
    throw Error({where,
                 fmt::format("the regular expression {}: {} (at {} of its translation {})", excerpt(expression),
                             pcre2_message(error), offset, excerpt(translated)),
                 "", ""});
  }
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT, pcre2_match interprets
  return TextPattern(std::make_shared<const Regex>(Regex{std::string(expression), std::move(code)}));
}

void TextPattern::find_all(std::string_view text, MatchScratch& scratch, std::vector<TextRange>& matches) const {
  matches.clear();
  if (text.empty()) return;
  if (const auto* literal_pattern = std::get_if<Literal>(&kind_)) {
    const std::string& wanted = literal_pattern->text;
    for (std::size_t at = text.find(wanted); at != std::string_view::npos; at = text.find(wanted, at + wanted.size())) {
      matches.push_back({at, at + wanted.size()});
    }
  } else if (const auto* characters_pattern = std::get_if<Characters>(&kind_)) {
    for (std::size_t at = 0; at < text.size();) {
      const auto [code_point, size] = character_at(text, at);
      if (characters_pattern->is_member(code_point)) matches.push_back({at, at + size});
      at += size;
    }
  } else {
    Regex::find_all(*std::get<std::shared_ptr<const Regex>>(kind_), text, *scratch.state_, matches);
  }
}

}  // namespace lcomp
