#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lcomp {

// GPT-2's byte-level alphabet: each byte is written as a printable character, so that a vocabulary of strings covers
// all byte sequences. Bytes 21..7E, A1..AC and AE..FF are the characters of that code; the other 68 are U+0100, U+0101,
// ... in order (a space is U+0120).

// The UTF-8 of the character that stands for `byte`: one or two bytes.
std::string_view byte_character(std::uint8_t byte);
// The byte that a character stands for; nothing when it stands for none.
std::optional<std::uint8_t> byte_of_character(char32_t code_point);

// Appends the characters that stand for the bytes of `text`.
void append_byte_characters(std::string& out, std::string_view text);

}  // namespace lcomp
