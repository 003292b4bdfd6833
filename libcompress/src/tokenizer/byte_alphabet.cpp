#include "tokenizer/byte_alphabet.h"

#include <array>
#include <cstddef>

namespace lcomp {
namespace {

constexpr char32_t first_substitute = 0x100;
constexpr std::size_t substitutes = 68;

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

struct Character {
  std::array<char, 2> bytes{};
  std::uint8_t size = 0;
};

struct Alphabet {
  std::array<Character, 256> characters{};
  std::array<std::uint8_t, substitutes> substituted{};  // the byte that U+0100 + i stands for

  constexpr Alphabet() {
    std::size_t count = 0;
    for (unsigned byte = 0; byte < 256; ++byte) {
      char32_t code_point = byte;
      if (!stands_for_itself(byte)) {
        substituted[count] = static_cast<std::uint8_t>(byte);
        code_point = first_substitute + static_cast<char32_t>(count++);
      }
      Character& character = characters[byte];
      if (code_point < 0x80) {
        character = {{static_cast<char>(code_point), '\0'}, 1};
      } else {
        character = {{static_cast<char>(0xc0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3f))}, 2};
      }
    }
  }
};

constexpr Alphabet alphabet;

}  // namespace

std::string_view byte_character(std::uint8_t byte) {
  const Character& character = alphabet.characters[byte];
  return {character.bytes.data(), character.size};
}

std::optional<std::uint8_t> byte_of_character(char32_t code_point) {
  if (code_point < first_substitute) {
    if (!stands_for_itself(code_point)) return std::nullopt;
    return static_cast<std::uint8_t>(code_point);
  }
  if (code_point >= first_substitute + substitutes) return std::nullopt;
  return alphabet.substituted[code_point - first_substitute];
}

void append_byte_characters(std::string& out, std::string_view text) {
  const std::size_t old_size = out.size();
  out.resize(old_size + 2 * text.size());
  char* to = out.data() + old_size;
  for (const char c : text) {
    const Character& character = alphabet.characters[static_cast<std::uint8_t>(c)];
    to[0] = character.bytes[0];
    to[1] = character.bytes[1];
    to += character.size;
  }
  out.resize(static_cast<std::size_t>(to - out.data()));
}

}  // namespace lcomp
