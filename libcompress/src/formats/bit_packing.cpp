#include "formats/bit_packing.h"

#include <array>
#include <bit>
#include <cassert>
#include <cstring>

#include <fmt/format.h>

#include "lcomp/core/sizes.h"

namespace lcomp {
namespace {

static_assert(std::endian::native == std::endian::little, "eight codes are moved as one little-endian 64-bit word");

// `width` ones at the bottom of every `period` bits of a 64-bit word.
constexpr std::uint64_t repeated_ones(int width, int period) {
  std::uint64_t mask = 0;
  for (int i = 0; i < 64; i += period) {
    mask |= (width == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << width) - 1) << i;
  }
  return mask;
}

// Eight codes, a byte each, to 8 * bits bits at the bottom of a word and back: pairs of bytes are joined, then pairs of
// pairs, then the two halves.
struct EightCodes {
  int bits;
  std::uint64_t in_16, in_32, in_64;  // the lower of each two neighbours, once they are joined

  explicit constexpr EightCodes(int b)
      : bits(b), in_16(repeated_ones(b, 16)), in_32(repeated_ones(2 * b, 32)), in_64(repeated_ones(4 * b, 64)) {}

  std::uint64_t join(std::uint64_t x) const {
    x = (x & in_16) | ((x >> (8 - bits)) & (in_16 << bits));
    x = (x & in_32) | ((x >> (16 - 2 * bits)) & (in_32 << (2 * bits)));
    return (x & in_64) | ((x >> (32 - 4 * bits)) & (in_64 << (4 * bits)));
  }
  std::uint64_t split(std::uint64_t x) const {
    x = (x & in_64) | ((x & (in_64 << (4 * bits))) << (32 - 4 * bits));
    x = (x & in_32) | ((x & (in_32 << (2 * bits))) << (16 - 2 * bits));
    return (x & in_16) | ((x & (in_16 << bits)) << (8 - bits));
  }
};

}  // namespace

std::size_t packed_bytes(std::size_t count, int bits) {
  assert(bits >= 1 && bits <= 8);
  const auto width = static_cast<std::size_t>(bits);
  // In eights first, so that no count of codes that fits memory overflows.
  return checked_add(checked_multiply(count / 8, width, "packed codes"), divide_up(count % 8 * width, std::size_t{8}),
                     "packed codes");
}

void pack_bits(std::span<const std::uint8_t> codes, int bits, std::span<std::uint8_t> out) {
  assert(out.size() == packed_bytes(codes.size(), bits));
  const EightCodes eight(bits);
  const auto width = static_cast<std::size_t>(bits);
  const std::uint64_t unused_bits = ~repeated_ones(bits, 8);
  std::uint64_t too_large = 0;
  std::size_t i = 0;
  std::size_t at = 0;
  // Whole words as long as there is room: what a word holds beyond its eight codes is overwritten by the next.
  for (; i + 8 <= codes.size() && at + 8 <= out.size(); i += 8, at += width) {
    std::uint64_t x = 0;
    std::memcpy(&x, codes.data() + i, 8);
    too_large |= x & unused_bits;
    x = eight.join(x);
    std::memcpy(out.data() + at, &x, 8);
  }
  for (; i < codes.size(); i += 8, at += width) {
    std::uint64_t x = 0;
    std::memcpy(&x, codes.data() + i, std::min<std::size_t>(8, codes.size() - i));
    too_large |= x & unused_bits;
    x = eight.join(x);
    std::memcpy(out.data() + at, &x, std::min(width, out.size() - at));
  }
  assert(too_large == 0);
}

void unpack_bits(std::span<const std::uint8_t> stream, int bits, std::size_t first, std::span<std::uint8_t> out) {
  assert(stream.size() >= packed_bytes(first + out.size(), bits));
  const EightCodes eight(bits);
  const auto width = static_cast<std::size_t>(bits);
  std::size_t done = 0;
  while (done < out.size()) {
    const std::size_t skip = (first + done) % 8;
    const std::size_t at = (first + done) / 8 * width;
    std::uint64_t x = 0;
    if (skip == 0 && out.size() - done >= 8 && stream.size() - at >= 8) {
      std::memcpy(&x, stream.data() + at, 8);
      x = eight.split(x);
      std::memcpy(out.data() + done, &x, 8);
      done += 8;
      continue;
    }
    const std::size_t count = std::min(8 - skip, out.size() - done);
    std::memcpy(&x, stream.data() + at, std::min(width, stream.size() - at));
    x = eight.split(x) >> (8 * skip);
    std::memcpy(out.data() + done, &x, count);
    done += count;
  }
}

}  // namespace lcomp
