// Block layouts and decoding of ggml's tensor types (github.com/ggml-org/ggml, ggml-quants.c, is their definition). In
// the layouts below d and m are float16; "n x 4 bits" are codes packed two to a byte, where byte j of 16 holds value j
// (low half) and j + 16.
//   Q4_0  d, 32 x 4 bits                          w = d (q - 8)
//   Q4_1  d, m, 32 x 4 bits                       w = d q + m
//   Q5_0  d, 32 high bits, 32 x 4 bits            w = d (q - 16)
//   Q5_1  d, m, 32 high bits, 32 x 4 bits         w = d q + m
//   Q8_0  d, 32 int8                              w = d q
//   IQ4_NL d, 32 x 4 bits                         w = d table[q]
// and blocks of 256 values, in sub-blocks of 16 or 32 with their own scale (and minimum) in 4, 6 or 8 bits:
//   Q2_K  16 (scale, minimum) 4 bits, 256 x 2 bits, d, m          w = d s q - m n
//   Q3_K  256 high bits, 256 x 2 bits, 16 scales of 6 bits, d     w = d (s - 32) (q - 4)
//   Q4_K  d, m, 8 (scale, minimum) of 6 bits, 256 x 4 bits        w = d s q - m n
//   Q5_K  as Q4_K with 256 high bits
//   Q6_K  256 x 4 bits, 256 x 2 high bits, 16 int8 scales, d      w = d s (q - 32)
//   IQ4_XS d, 8 scales of 6 bits, 256 x 4 bits                    w = d (s - 32) table[q]
#include <array>
#include <cassert>
#include <cstring>

#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "lcomp/interchange/gguf.h"

namespace lcomp {
namespace {

constexpr std::size_t kDecodedPerChunk = std::size_t{1} << 16;

// The 16 levels of IQ4_NL and IQ4_XS.
constexpr std::array<float, 16> kNonlinearLevels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                    1,    13,   25,  38,  53,  69,  89,  113};

template <typename T>
T load(const std::uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

float load_half(const std::uint8_t* at) { return half_to_float(load<std::uint16_t>(at)); }

float as_float(int code) { return static_cast<float>(code); }

void decode_q4_0(const std::uint8_t* in, float* out) {
  const float d = load_half(in);
  const std::uint8_t* codes = in + 2;
  for (int j = 0; j < 16; ++j) {
    out[j] = d * as_float((codes[j] & 15) - 8);
    out[j + 16] = d * as_float((codes[j] >> 4) - 8);
  }
}

void decode_q4_1(const std::uint8_t* in, float* out) {
  const float d = load_half(in);
  const float m = load_half(in + 2);
  const std::uint8_t* codes = in + 4;
  for (int j = 0; j < 16; ++j) {
    out[j] = d * as_float(codes[j] & 15) + m;
    out[j + 16] = d * as_float(codes[j] >> 4) + m;
  }
}

// The fifth bit of value j, in its place.
int fifth_bit(std::uint32_t high, int j) { return static_cast<int>((high >> j) & 1u) << 4; }

void decode_q5_0(const std::uint8_t* in, float* out) {
  const float d = load_half(in);
  const auto high = load<std::uint32_t>(in + 2);
  const std::uint8_t* codes = in + 6;
  for (int j = 0; j < 16; ++j) {
    out[j] = d * as_float(((codes[j] & 15) | fifth_bit(high, j)) - 16);
    out[j + 16] = d * as_float(((codes[j] >> 4) | fifth_bit(high, j + 16)) - 16);
  }
}

void decode_q5_1(const std::uint8_t* in, float* out) {
  const float d = load_half(in);
  const float m = load_half(in + 2);
  const auto high = load<std::uint32_t>(in + 4);
  const std::uint8_t* codes = in + 8;
  for (int j = 0; j < 16; ++j) {
    out[j] = d * as_float((codes[j] & 15) | fifth_bit(high, j)) + m;
    out[j + 16] = d * as_float((codes[j] >> 4) | fifth_bit(high, j + 16)) + m;
  }
}

void decode_q8_0(const std::uint8_t* in, float* out) {
  const float d = load_half(in);
  const auto* codes = reinterpret_cast<const std::int8_t*>(in + 2);
  for (int j = 0; j < 32; ++j) out[j] = d * as_float(codes[j]);
}

void decode_iq4_nl(const std::uint8_t* in, float* out) {
  const float d = load_half(in);
  const std::uint8_t* codes = in + 2;
  for (int j = 0; j < 16; ++j) {
    out[j] = d * kNonlinearLevels[codes[j] & 15];
    out[j + 16] = d * kNonlinearLevels[codes[j] >> 4];
  }
}

void decode_q2_k(const std::uint8_t* in, float* out) {
  const std::uint8_t* scales = in;
  const std::uint8_t* codes = in + 16;
  const float d = load_half(in + 80);
  const float m = load_half(in + 82);
  for (int s = 0; s < 16; ++s, out += 16) {  // sub-block s: 32 bytes hold 8 of them, at shifts 0, 2, 4, 6
    const std::uint8_t* from = codes + 32 * (s / 8) + 16 * (s % 2);
    const int shift = 2 * (s % 8 / 2);
    const float scale = d * as_float(scales[s] & 15);
    const float minimum = m * as_float(scales[s] >> 4);
    for (int j = 0; j < 16; ++j) out[j] = scale * as_float((from[j] >> shift) & 3) - minimum;
  }
}

void decode_q3_k(const std::uint8_t* in, float* out) {
  const std::uint8_t* high = in;
  const std::uint8_t* codes = in + 32;
  const std::uint8_t* scales = in + 96;
  const float d = load_half(in + 108);
  for (int s = 0; s < 16; ++s, out += 16) {
    const int low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4;
    const int scale = (low | (((scales[8 + s % 4] >> (2 * (s / 4))) & 3) << 4)) - 32;
    const float step = d * as_float(scale);
    const std::uint8_t* from = codes + 32 * (s / 8) + 16 * (s % 2);
    const std::uint8_t* bits = high + 16 * (s % 2);
    const int shift = 2 * (s % 8 / 2);
    const int bit = s / 2;
    for (int j = 0; j < 16; ++j) {
      out[j] = step * as_float(((from[j] >> shift) & 3) - 4 + 4 * ((bits[j] >> bit) & 1));
    }
  }
}

// Scale and minimum of sub-block s of Q4_K and Q5_K: 6 bits each, packed in 12 bytes.
struct ScaleMinimum {
  float scale, minimum;
};
ScaleMinimum k4_scale_minimum(const std::uint8_t* packed, int s) {
  if (s < 4) return {as_float(packed[s] & 63), as_float(packed[s + 4] & 63)};
  return {as_float((packed[s + 4] & 15) | ((packed[s - 4] >> 6) << 4)),
          as_float((packed[s + 4] >> 4) | ((packed[s] >> 6) << 4))};
}

void decode_q4_k(const std::uint8_t* in, float* out) {
  const float d = load_half(in);
  const float m = load_half(in + 2);
  const std::uint8_t* codes = in + 16;
  for (int s = 0; s < 8; ++s, out += 32) {
    const auto [scale, minimum] = k4_scale_minimum(in + 4, s);
    const float step = d * scale;
    const float offset = m * minimum;
    const std::uint8_t* from = codes + 32 * (s / 2);
    const int shift = 4 * (s % 2);
    for (int j = 0; j < 32; ++j) out[j] = step * as_float((from[j] >> shift) & 15) - offset;
  }
}

void decode_q5_k(const std::uint8_t* in, float* out) {
  const float d = load_half(in);
  const float m = load_half(in + 2);
  const std::uint8_t* high = in + 16;
  const std::uint8_t* codes = in + 48;
  for (int s = 0; s < 8; ++s, out += 32) {
    const auto [scale, minimum] = k4_scale_minimum(in + 4, s);
    const float step = d * scale;
    const float offset = m * minimum;
    const std::uint8_t* from = codes + 32 * (s / 2);
    const int shift = 4 * (s % 2);
    for (int j = 0; j < 32; ++j) {
      out[j] = step * as_float(((from[j] >> shift) & 15) | (((high[j] >> s) & 1) << 4)) - offset;
    }
  }
}

void decode_q6_k(const std::uint8_t* in, float* out) {
  const std::uint8_t* codes = in;
  const std::uint8_t* high = in + 128;
  const auto* scales = reinterpret_cast<const std::int8_t*>(in + 192);
  const float d = load_half(in + 208);
  for (int s = 0; s < 16; ++s, out += 16) {
    const int half = s / 8;         // 128 values
    const int quarter = s % 8 / 2;  // 32 values of that half
    const int part = 16 * (s % 2);
    const std::uint8_t* from = codes + 64 * half + 32 * (quarter % 2) + part;
    const std::uint8_t* bits = high + 32 * half + part;
    const int shift = 4 * (quarter / 2);
    const float step = d * as_float(scales[s]);
    for (int j = 0; j < 16; ++j) {
      out[j] = step * as_float((((from[j] >> shift) & 15) | (((bits[j] >> (2 * quarter)) & 3) << 4)) - 32);
    }
  }
}

void decode_iq4_xs(const std::uint8_t* in, float* out) {
  const float d = load_half(in);
  const auto scales_high = load<std::uint16_t>(in + 2);
  const std::uint8_t* scales_low = in + 4;
  const std::uint8_t* codes = in + 8;
  for (int s = 0; s < 8; ++s, out += 32, codes += 16) {
    const int scale = (((scales_low[s / 2] >> (4 * (s % 2))) & 15) | (((scales_high >> (2 * s)) & 3) << 4)) - 32;
    const float step = d * as_float(scale);
    for (int j = 0; j < 16; ++j) {
      out[j] = step * kNonlinearLevels[codes[j] & 15];
      out[j + 16] = step * kNonlinearLevels[codes[j] >> 4];
    }
  }
}

template <typename T>
void decode_plain(const std::uint8_t* in, float* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(load<T>(in + i * sizeof(T)));
}

// The span functions of float16.h want aligned input; a mapped file need not be.
template <void (*convert)(std::span<const std::uint16_t>, std::span<float>)>
void decode_16_bit(const std::uint8_t* in, float* out, std::size_t count) {
  std::array<std::uint16_t, 1024> bits;
  for (std::size_t i = 0; i < count; i += bits.size()) {
    const std::size_t n = std::min(bits.size(), count - i);
    std::memcpy(bits.data(), in + 2 * i, 2 * n);
    convert(std::span(bits).first(n), {out + i, n});
  }
}

template <void (*decode)(const std::uint8_t*, float*)>
void decode_blocks(GgmlBlock block, const std::uint8_t* in, float* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) decode(in + i * block.bytes, out + i * block.values);
}

void decode_serial(GgmlType type, const std::uint8_t* in, float* out, std::size_t count) {
  const GgmlBlock block = block_of(type);
  switch (type) {
    case GgmlType::f32:
      return decode_plain<float>(in, out, count);
    case GgmlType::f64:
      return decode_plain<double>(in, out, count);
    case GgmlType::i8:
      return decode_plain<std::int8_t>(in, out, count);
    case GgmlType::i16:
      return decode_plain<std::int16_t>(in, out, count);
    case GgmlType::i32:
      return decode_plain<std::int32_t>(in, out, count);
    case GgmlType::i64:
      return decode_plain<std::int64_t>(in, out, count);
    case GgmlType::f16:
      return decode_16_bit<half_to_float>(in, out, count);
    case GgmlType::bf16:
      return decode_16_bit<bfloat16_to_float>(in, out, count);
    case GgmlType::q4_0:
      return decode_blocks<decode_q4_0>(block, in, out, count);
    case GgmlType::q4_1:
      return decode_blocks<decode_q4_1>(block, in, out, count);
    case GgmlType::q5_0:
      return decode_blocks<decode_q5_0>(block, in, out, count);
    case GgmlType::q5_1:
      return decode_blocks<decode_q5_1>(block, in, out, count);
    case GgmlType::q8_0:
      return decode_blocks<decode_q8_0>(block, in, out, count);
    case GgmlType::q2_k:
      return decode_blocks<decode_q2_k>(block, in, out, count);
    case GgmlType::q3_k:
      return decode_blocks<decode_q3_k>(block, in, out, count);
    case GgmlType::q4_k:
      return decode_blocks<decode_q4_k>(block, in, out, count);
    case GgmlType::q5_k:
      return decode_blocks<decode_q5_k>(block, in, out, count);
    case GgmlType::q6_k:
      return decode_blocks<decode_q6_k>(block, in, out, count);
    case GgmlType::iq4_nl:
      return decode_blocks<decode_iq4_nl>(block, in, out, count);
    case GgmlType::iq4_xs:
      return decode_blocks<decode_iq4_xs>(block, in, out, count);
  }
}

}  // namespace

void dequantize(GgmlType type, std::span<const std::byte> blocks, std::span<float> out) {
  const GgmlBlock block = block_of(type);
  const std::size_t count = blocks.size() / block.bytes;
  assert(blocks.size() == count * block.bytes && out.size() == count * block.values);
  const auto* in = reinterpret_cast<const std::uint8_t*>(blocks.data());
  parallel_chunks(0, count, kDecodedPerChunk / block.values, [&](std::size_t first, std::size_t last) {
    decode_serial(type, in + first * block.bytes, out.data() + first * block.values, last - first);
  });
}

}  // namespace lcomp
