// to_float: the elements of a safetensors entry as float32.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "lcomp/io/safetensors.h"

namespace lcomp {
namespace {

constexpr std::size_t kGrain = std::size_t{1} << 16;  // elements: enough to be worth a thread's start

// 1 sign, 4 exponent (bias 7), 3 mantissa bits; no infinities, NaN is S.1111.111. arXiv 2209.05433.
float e4m3_to_float(unsigned bits) {
  const unsigned exponent = (bits >> 3) & 0xfu;
  const unsigned mantissa = bits & 0x7u;
  float magnitude = 0;
  if ((bits & 0x7fu) == 0x7fu) {
    magnitude = std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = static_cast<float>(mantissa) * 0x1.0p-9f;
  } else {
    magnitude = std::bit_cast<float>(((exponent + 120) << 23) | (mantissa << 20));
  }
  return (bits & 0x80u) != 0 ? -magnitude : magnitude;
}

// 1 sign, 5 exponent, 2 mantissa bits: the upper byte of a half.
float e5m2_to_float(unsigned bits) { return half_to_float(static_cast<std::uint16_t>(bits << 8)); }

using ByteTable = std::array<float, 256>;

template <float (*decode)(unsigned)>
const ByteTable& byte_table() {
  static const ByteTable table = [] {
    ByteTable values{};
    for (unsigned i = 0; i < values.size(); ++i) values[i] = decode(i);
    return values;
  }();
  return table;
}

void look_up(const ByteTable& table, const std::byte* in, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = table[std::to_integer<unsigned>(in[i])];
}

// The data of a file may lie at any address: elements are copied out of it, never referred to.
template <typename T>
void cast(const std::byte* in, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, in + i * sizeof(T), sizeof(T));
    out[i] = static_cast<float>(value);
  }
}

using HalfConversion = void (*)(std::span<const std::uint16_t>, std::span<float>);

void convert_16_bit(HalfConversion convert, const std::byte* in, std::span<float> out) {
  if (reinterpret_cast<std::uintptr_t>(in) % alignof(std::uint16_t) == 0) {
    convert({reinterpret_cast<const std::uint16_t*>(in), out.size()}, out);
    return;
  }
  std::array<std::uint16_t, 2048> piece;
  for (std::size_t i = 0; i < out.size(); i += piece.size()) {
    const std::size_t count = std::min(piece.size(), out.size() - i);
    std::memcpy(piece.data(), in + 2 * i, 2 * count);
    convert(std::span(piece).first(count), out.subspan(i, count));
  }
}

void decode(DataType type, const std::byte* in, std::span<float> out) {
  switch (type) {
    case DataType::f64:
      return cast<double>(in, out);
    case DataType::f32:
      std::memcpy(out.data(), in, out.size_bytes());
      return;
    case DataType::f16:
      return convert_16_bit(half_to_float, in, out);
    case DataType::bf16:
      return convert_16_bit(bfloat16_to_float, in, out);
    case DataType::f8_e4m3:
      return look_up(byte_table<e4m3_to_float>(), in, out);
    case DataType::f8_e5m2:
      return look_up(byte_table<e5m2_to_float>(), in, out);
    case DataType::i64:
      return cast<std::int64_t>(in, out);
    case DataType::i32:
      return cast<std::int32_t>(in, out);
    case DataType::i16:
      return cast<std::int16_t>(in, out);
    case DataType::i8:
      return cast<std::int8_t>(in, out);
    case DataType::u64:
      return cast<std::uint64_t>(in, out);
    case DataType::u32:
      return cast<std::uint32_t>(in, out);
    case DataType::u16:
      return cast<std::uint16_t>(in, out);
    case DataType::u8:
    case DataType::boolean:
      return cast<std::uint8_t>(in, out);
  }
}

}  // namespace

void to_float(const SafetensorsEntry& entry, std::size_t begin, std::span<float> out) {
  const std::size_t width = bytes_per_element(entry.type);
  const std::size_t elements = entry.bytes.size() / width;
  if (begin > elements || out.size() > elements - begin) {
    throw Error({fmt::format("tensor \"{}\"", entry.name),
                 fmt::format("elements {} .. {} asked for", begin, begin + out.size()),
                 fmt::format("a part of its {} elements", elements), ""});
  }
  parallel_chunks(0, out.size(), kGrain, [&](std::size_t first, std::size_t last) {
    decode(entry.type, entry.bytes.data() + (begin + first) * width, out.subspan(first, last - first));
  });
}

}  // namespace lcomp
