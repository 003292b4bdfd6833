#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lcomp {

// A character of UTF-8 text: its code point and how many bytes it takes.
struct Utf8Character {
  char32_t code_point = 0;
  std::size_t size = 0;
};

// The character that begins at text[position]. `text` is valid UTF-8 and position is at the beginning of a character.
Utf8Character character_at(std::string_view text, std::size_t position);
// The character that ends just before text[position], position > 0.
Utf8Character character_before(std::string_view text, std::size_t position);
void append_character(std::string& text, char32_t code_point);

bool is_valid_utf8(std::string_view text);
// `text` with each maximal ill-formed part replaced by U+FFFD (Unicode 15, table 3-8; what Rust's from_utf8_lossy and
// Python's errors="replace" do).
std::string replace_invalid_utf8(std::string_view text);

// The beginning of `text` for an error message: at most 80 bytes, "..." where it was cut, always valid UTF-8.
std::string excerpt(std::string_view text);

// Classes of characters, by utf8proc's tables and the Unicode property of that name.
bool is_white_space(char32_t code_point);  // White_Space
bool is_numeric(char32_t code_point);      // general category N
bool is_mark(char32_t code_point);         // general category M
bool is_punctuation(
    char32_t code_point);  // general category P, or ASCII punctuation (which includes symbols such as '+')
bool is_word_character(char32_t code_point);  // \w of UTS 18: Alphabetic, M, Nd, Pc, Join_Control

enum class NormalizationForm { nfc, nfd, nfkc, nfkd };
// `text` (valid UTF-8) in a normalization form of UAX 15.
std::string normalize_unicode(std::string_view text, NormalizationForm form);
// Each character by its full lower-case mapping, without regard to its neighbours (a final sigma stays an ordinary
// one).
std::string to_lower_case(std::string_view text);

}  // namespace lcomp
