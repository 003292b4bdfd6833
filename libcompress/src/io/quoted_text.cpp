#include "lcomp/io/quoted_text.h"

namespace lcomp {

std::string abbreviated(std::string_view text) {
  constexpr std::size_t kLimit = 80;
  if (text.size() <= kLimit) return std::string(text);
  std::size_t size = kLimit;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0u) == 0x80u) --size;  // not inside a UTF-8 sequence
  return std::string(text.substr(0, size)) + "...";
}

std::string in_quotes(std::string_view text) { return '"' + abbreviated(text) + '"'; }

}  // namespace lcomp
