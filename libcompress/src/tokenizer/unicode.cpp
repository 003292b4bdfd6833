#include "tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace lcomp {
namespace {

constexpr char32_t replacement_character = 0xfffd;

// The length of the well-formed sequence at the beginning of `text`, or minus the length of the maximal ill-formed
// part.
int sequence_length(std::string_view text) {
  const auto byte = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  int length = 0;
  unsigned char low = 0x80, high = 0xbf;  // bounds of the second byte
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return -1;
  }
  for (int i = 1; i < length; ++i) {
    const auto index = static_cast<std::size_t>(i);
    if (index >= text.size() || byte(index) < low || byte(index) > high) return -i;
    low = 0x80;
    high = 0xbf;
  }
  return length;
}

std::size_t ascii_prefix(std::string_view text) {
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t block;
    std::memcpy(&block, text.data() + i, 8);
    if ((block & 0x8080808080808080u) != 0) break;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
  return i;
}

utf8proc_category_t category(char32_t code_point) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
}

// Decomposes, orders the marks that follow each other by combining class, and composes. The ordering is ours since
// utf8proc's takes quadratic time on long runs of marks.
void append_normalized(std::string& out, std::string_view text, NormalizationForm form) {
  using CodePoint = utf8proc_int32_t;
  const bool composes = form == NormalizationForm::nfc || form == NormalizationForm::nfkc;
  const bool compatibility = form == NormalizationForm::nfkc || form == NormalizationForm::nfkd;
  const auto decompose =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatibility ? UTF8PROC_COMPAT : 0));

  constexpr std::size_t longest_decomposition = 32;  // U+FDFA has 18
  std::vector<CodePoint> decomposed;
  decomposed.reserve(text.size() + longest_decomposition);
  for (std::size_t at = 0; at < text.size();) {
    const auto [code_point, size] = character_at(text, at);
    at += size;
    const std::size_t count = decomposed.size();
    decomposed.resize(count + longest_decomposition);
    int boundary = 0;
    const utf8proc_ssize_t written = utf8proc_decompose_char(
        static_cast<CodePoint>(code_point), decomposed.data() + count, longest_decomposition, decompose, &boundary);
    assert(written >= 0 && static_cast<std::size_t>(written) <= longest_decomposition);
    decomposed.resize(count + static_cast<std::size_t>(written));
  }

  const auto combining_class = [](CodePoint c) { return utf8proc_get_property(c)->combining_class; };
  const auto is_starter = [&](CodePoint c) { return combining_class(c) == 0; };
  for (auto begin = decomposed.begin(); begin != decomposed.end();) {
    begin = std::find_if_not(begin, decomposed.end(), is_starter);
    const auto end = std::find_if(begin, decomposed.end(), is_starter);
    std::stable_sort(begin, end, [&](CodePoint a, CodePoint b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }

  auto length = static_cast<utf8proc_ssize_t>(decomposed.size());
  if (composes) {
    length = utf8proc_normalize_utf32(decomposed.data(), length,
                                      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    assert(length >= 0);
  }
  for (utf8proc_ssize_t i = 0; i < length; ++i)
    append_character(out, static_cast<char32_t>(decomposed[static_cast<std::size_t>(i)]));
}

}  // namespace

Utf8Character character_at(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[position + i]));
  };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xe0) return {(lead & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (lead < 0xf0) return {(lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
}

Utf8Character character_before(std::string_view text, std::size_t position) {
  std::size_t begin = position - 1;
  while ((static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  return character_at(text, begin);
}

void append_character(std::string& text, char32_t code_point) {
  const auto append = [&text](char32_t byte) { text += static_cast<char>(byte); };
  if (code_point < 0x80) {
    append(code_point);
  } else if (code_point < 0x800) {
    append(0xc0 | code_point >> 6);
    append(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    append(0xe0 | code_point >> 12);
    append(0x80 | (code_point >> 6 & 0x3f));
    append(0x80 | (code_point & 0x3f));
  } else {
    append(0xf0 | code_point >> 18);
    append(0x80 | (code_point >> 12 & 0x3f));
    append(0x80 | (code_point >> 6 & 0x3f));
    append(0x80 | (code_point & 0x3f));
  }
}

bool is_valid_utf8(std::string_view text) {
  for (;;) {
    text.remove_prefix(ascii_prefix(text));
    if (text.empty()) return true;
    const int length = sequence_length(text);
    if (length < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(length));
  }
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const int length = sequence_length(text);
    const auto size = static_cast<std::size_t>(std::abs(length));
    if (length > 0) {
      out += text.substr(0, size);
    } else {
      append_character(out, replacement_character);
    }
    text.remove_prefix(size);
  }
  return out;
}

std::string excerpt(std::string_view text) {
  constexpr std::size_t longest = 80;
  if (text.size() <= longest) return replace_invalid_utf8(text);
  std::size_t end = longest;
  while (end > longest - 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return replace_invalid_utf8(text.substr(0, end)) + "...";
}

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0d);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
         c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO;
}

bool is_mark(char32_t c) {
  if (c < 0x300) return false;
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_MC || kind == UTF8PROC_CATEGORY_ME;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
  }
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_word_character(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  if (c == 0x200c || c == 0x200d) return true;
  // Alphabetic is L, Nl, some marks (all of M is taken anyway) and the circled and squared letters among the symbols.
  if ((c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
      (c >= 0x1f170 && c <= 0x1f189)) {
    return true;
  }
  const auto kind = category(c);
  return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_NL) || kind == UTF8PROC_CATEGORY_PC;
}

std::string normalize_unicode(std::string_view text, NormalizationForm form) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    // An ASCII character is never changed and never the second of a composed pair, so what precedes it can be
    // normalized alone; but it may be the first of a pair (e and an acute accent).
    const std::size_t ascii = ascii_prefix(text);
    const std::size_t unchanged = ascii == text.size() || ascii == 0 ? ascii : ascii - 1;
    out += text.substr(0, unchanged);
    std::size_t end = ascii;
    bool may_change = form != NormalizationForm::nfc;
    while (end < text.size() && static_cast<unsigned char>(text[end]) >= 0x80) {
      may_change =
          may_change || static_cast<unsigned char>(text[end]) >= 0xcc;  // NFC leaves everything before U+0300 alone
      ++end;
    }
    const std::string_view run = text.substr(unchanged, end - unchanged);
    if (may_change && !run.empty()) {
      append_normalized(out, run, form);
    } else {
      out += run;
    }
    text.remove_prefix(end);
  }
  return out;
}

std::string to_lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto [code_point, size] = character_at(text, i);
    i += size;
    if (code_point < 0x80) {
      out += static_cast<char>(code_point >= 'A' && code_point <= 'Z' ? code_point + 32 : code_point);
    } else if (code_point == 0x130) {  // the only character whose full mapping has two: i and a combining dot above
      out += "i\xcc\x87";
    } else {
      append_character(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))));
    }
  }
  return out;
}

}  // namespace lcomp
