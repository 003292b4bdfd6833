#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lcomp {

// Codes of `bits` bits each (1 .. 8) as a little-endian bit stream: code i occupies the stream's bits i * bits to
// i * bits + bits - 1, lowest bit first, and bit k of the stream is bit k % 8 (0: the least significant) of byte k / 8.
// Unused bits of the last byte are zero. The first two bytes of codes a, b, c, ... (a0: the lowest bit of a):
//
//            byte 0, bit 7 ... bit 0      byte 1, bit 7 ... bit 0
//   2 bits   d1 d0 c1 c0 b1 b0 a1 a0      h1 h0 g1 g0 f1 f0 e1 e0
//   3 bits   c1 c0 b2 b1 b0 a2 a1 a0      f0 e2 e1 e0 d2 d1 d0 c2
//   4 bits   b3 b2 b1 b0 a3 a2 a1 a0      d3 d2 d1 d0 c3 c2 c1 c0
//   5 bits   b2 b1 b0 a4 a3 a2 a1 a0      d0 c4 c3 c2 c1 c0 b4 b3
//
// Eight codes take exactly `bits` bytes.

// Bytes that `count` codes take: ceil(count * bits / 8). Throws Error where that overflows.
std::size_t packed_bytes(std::size_t count, int bits);

// Packs codes (each < 2^bits, asserted) into out, packed_bytes(codes.size(), bits) bytes.
void pack_bits(std::span<const std::uint8_t> codes, int bits, std::span<std::uint8_t> out);

// Unpacks `out.size()` codes, starting with code `first` of the stream. The stream must hold them (asserted).
void unpack_bits(std::span<const std::uint8_t> stream, int bits, std::size_t first, std::span<std::uint8_t> out);

}  // namespace lcomp
