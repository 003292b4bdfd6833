#include "lcomp/core/hash.h"

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <string_view>

namespace lcomp {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string hash_of(std::string_view text) {
  Hasher hasher;
  hasher.update(bytes_of(text));
  return hasher.hex();
}

// Published values of XXH3.
TEST(Hash, KnownValues) {
  EXPECT_EQ(Hasher().hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hash_of("abc"), "06b05ab6733a618578af5f94892f3950");
  EXPECT_EQ(hash64(bytes_of("")), 0x2d06800538d394c2u);
  EXPECT_EQ(hash64(bytes_of("abc")), 0x78af5f94892f3950u);
}

TEST(Hash, PiecesOfBytesAreOneStream) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 7);
  Hasher pieces;
  for (std::size_t i = 0; i < text.size(); i += 333) pieces.update(bytes_of(std::string_view(text).substr(i, 333)));
  EXPECT_EQ(pieces.hex(), hash_of(text));
  EXPECT_EQ(pieces.hex(), pieces.hex());  // reading it does not end the stream
}

TEST(Hash, PiecesOfTextAreNot) {
  Hasher a;
  a.update(std::string_view("ab"));
  a.update(std::string_view("c"));
  Hasher b;
  b.update(std::string_view("a"));
  b.update(std::string_view("bc"));
  EXPECT_NE(a.hex(), b.hex());
  Hasher none;
  none.update(std::string_view());
  EXPECT_NE(none.hex(), Hasher().hex());
}

}  // namespace
}  // namespace lcomp
