#include "formats/bit_packing.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <limits>
#include <vector>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes packed(const Bytes& codes, int bits) {
  Bytes out(packed_bytes(codes.size(), bits));
  pack_bits(codes, bits, out);
  return out;
}

// The definition, bit by bit.
Bytes packed_bit_by_bit(const Bytes& codes, int bits) {
  Bytes out((codes.size() * static_cast<std::size_t>(bits) + 7) / 8);
  std::size_t position = 0;
  for (const std::uint8_t code : codes) {
    for (int k = 0; k < bits; ++k, ++position) {
      out[position / 8] = static_cast<std::uint8_t>(out[position / 8] | ((code >> k) & 1) << (position % 8));
    }
  }
  return out;
}

TEST(BitPackingTest, MatchesTheDrawingInTheHeader) {
  // a = 1, b = 2, c = 3, d = 0 in two bits: d1 d0 c1 c0 b1 b0 a1 a0 = 00 11 10 01
  EXPECT_EQ(packed({1, 2, 3, 0}, 2), Bytes({0b00111001}));
  // Three bits: c1 c0 b2 b1 b0 a2 a1 a0 = 11 010 101, then f0 e2 e1 e0 d2 d1 d0 c2 = 1 001 110 0, the rest of f: 11
  EXPECT_EQ(packed({5, 2, 3, 6, 1, 7}, 3), Bytes({0b11010101, 0b10011100, 0b00000011}));
  EXPECT_EQ(packed({0xa, 0xb, 0xc}, 4), Bytes({0xba, 0x0c}));
  // Five bits: b2 b1 b0 a4 ... a0 = 001 10001, then d0 c4 ... c0 b4 b3 = 0 00000 11
  EXPECT_EQ(packed({17, 25}, 5), Bytes({0b00110001, 0b00000011}));
  EXPECT_EQ(packed({1, 0, 0, 1, 0, 0, 0, 1, 1}, 1), Bytes({0b10001001, 0b00000001}));
  EXPECT_EQ(packed({200, 3}, 8), Bytes({200, 3}));
}

TEST(BitPackingTest, CountsWholeBytes) {
  EXPECT_EQ(packed_bytes(0, 3), 0u);
  EXPECT_EQ(packed_bytes(1, 3), 1u);
  EXPECT_EQ(packed_bytes(3, 3), 2u);
  EXPECT_EQ(packed_bytes(8, 3), 3u);
  EXPECT_EQ(packed_bytes(9, 7), 8u);
  const std::size_t most = std::numeric_limits<std::size_t>::max();
  EXPECT_EQ(packed_bytes(most, 8), most);
  EXPECT_EQ(packed_bytes(most, 1), most / 8 + 1);
}

TEST(BitPackingTest, AnyCodesOfAnyWidthSurviveAndFollowTheDefinition) {
  EXPECT_TRUE(rc::check([] {
    const int bits = *rc::gen::inRange(1, 9);
    const auto codes =
        *rc::gen::container<Bytes>(rc::gen::map(rc::gen::arbitrary<std::uint8_t>(), [bits](std::uint8_t c) {
          return static_cast<std::uint8_t>(c >> (8 - bits));
        }));
    const Bytes stream = packed(codes, bits);
    RC_ASSERT(stream == packed_bit_by_bit(codes, bits));
    Bytes all(codes.size());
    unpack_bits(stream, bits, 0, all);
    RC_ASSERT(all == codes);
  }));
}

TEST(BitPackingTest, AnyPieceOfAStreamCanBeUnpacked) {
  EXPECT_TRUE(rc::check([] {
    const int bits = *rc::gen::inRange(1, 9);
    const auto size = *rc::gen::inRange<std::size_t>(1, 70);
    const auto codes = *rc::gen::container<Bytes>(
        size, rc::gen::map(rc::gen::arbitrary<std::uint8_t>(),
                           [bits](std::uint8_t c) { return static_cast<std::uint8_t>(c >> (8 - bits)); }));
    const auto first = *rc::gen::inRange<std::size_t>(0, size);
    const auto count = *rc::gen::inRange<std::size_t>(0, size - first + 1);
    const Bytes stream = packed(codes, bits);
    Bytes piece(count);
    unpack_bits(stream, bits, first, piece);
    RC_ASSERT(std::equal(piece.begin(), piece.end(), codes.begin() + static_cast<std::ptrdiff_t>(first)));
  }));
}

}  // namespace
}  // namespace lcomp
