// Rounding to ggml's simple tensor types, as its reference quantizers do it (ggml-quants.c, quantize_row_*_ref); the
// layouts are in ggml_dequantize.cpp. All arithmetic is float32; codes are computed from the float32 scale, the stored
// scale is rounded to float16.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "lcomp/interchange/gguf.h"

namespace lcomp {
namespace {

constexpr std::size_t kBlock = 32;
constexpr std::size_t kEncodedPerChunk = std::size_t{1} << 14;

std::uint8_t* store_half(std::uint8_t* out, float value, GgmlType type) {
  const std::uint16_t bits = float_to_half(value);
  if ((bits & 0x7c00u) == 0x7c00u) {
    throw Error({fmt::format("quantizing to {}", name(type)), fmt::format("a value, scale or minimum of {}", value),
                 "less than 65520, the range of float16", ""});
  }
  std::memcpy(out, &bits, 2);
  return out + 2;
}

// 1 / scale; 0 where that is infinite: the float16 scale is 0 there, whatever the codes.
float inverse(float scale) {
  const float result = 1 / scale;
  return std::isfinite(result) ? result : 0;
}

int code(float value, int largest) { return std::min(static_cast<int>(value), largest); }

void store_nibbles(std::uint8_t* out, const int* codes) {
  for (std::size_t j = 0; j < kBlock / 2; ++j) {
    out[j] = static_cast<std::uint8_t>((codes[j] & 15) | ((codes[j + kBlock / 2] & 15) << 4));
  }
}

std::uint8_t* store_fifth_bits(std::uint8_t* out, const int* codes) {
  std::uint32_t high = 0;
  for (std::size_t j = 0; j < kBlock; ++j) high |= static_cast<std::uint32_t>(codes[j] >> 4) << j;
  std::memcpy(out, &high, 4);
  return out + 4;
}

// Q4_0 (bits 4) and Q5_0 (bits 5): the value of largest magnitude gets the code 0, which stands for -2^(bits-1).
void encode_symmetric(GgmlType type, int bits, const float* in, std::uint8_t* out) {
  const int half = 1 << (bits - 1);
  const float extreme =
      *std::max_element(in, in + kBlock, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  const float scale = extreme / static_cast<float>(-half);
  const float factor = inverse(scale);
  int codes[kBlock];
  for (std::size_t j = 0; j < kBlock; ++j)
    codes[j] = code(in[j] * factor + (static_cast<float>(half) + 0.5f), 2 * half - 1);
  out = store_half(out, scale, type);
  if (bits == 5) out = store_fifth_bits(out, codes);
  store_nibbles(out, codes);
}

// Q4_1 and Q5_1: codes 0 .. 2^bits - 1 from the smallest value to the largest.
void encode_asymmetric(GgmlType type, int bits, const float* in, std::uint8_t* out) {
  const auto [least, most] = std::minmax_element(in, in + kBlock);
  const float minimum = *least;
  const int largest = (1 << bits) - 1;
  const float scale = (*most - minimum) / static_cast<float>(largest);
  out = store_half(out, scale, type);  // refuses an infinite range, before it can give codes that are not numbers
  out = store_half(out, minimum, type);
  const float factor = inverse(scale);
  int codes[kBlock];
  for (std::size_t j = 0; j < kBlock; ++j) codes[j] = code((in[j] - minimum) * factor + 0.5f, largest);
  if (bits == 5) out = store_fifth_bits(out, codes);
  store_nibbles(out, codes);
}

void encode_q8_0(const float* in, std::uint8_t* out) {
  float largest = 0;
  for (std::size_t j = 0; j < kBlock; ++j) largest = std::max(largest, std::fabs(in[j]));
  const float scale = largest / 127;
  const float factor = inverse(scale);
  out = store_half(out, scale, GgmlType::q8_0);
  for (std::size_t j = 0; j < kBlock; ++j) {
    out[j] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::lround(in[j] * factor)));
  }
}

void encode_block(GgmlType type, const float* in, std::uint8_t* out) {
  switch (type) {
    case GgmlType::q4_0:
      return encode_symmetric(type, 4, in, out);
    case GgmlType::q5_0:
      return encode_symmetric(type, 5, in, out);
    case GgmlType::q4_1:
      return encode_asymmetric(type, 4, in, out);
    case GgmlType::q5_1:
      return encode_asymmetric(type, 5, in, out);
    case GgmlType::q8_0:
      return encode_q8_0(in, out);
    case GgmlType::f16:
      store_half(out, *in, type);
      return;
    case GgmlType::bf16: {
      const std::uint16_t bits = float_to_bfloat16(*in);
      std::memcpy(out, &bits, 2);
      return;
    }
    case GgmlType::f32:
      std::memcpy(out, in, 4);
      return;
    case GgmlType::q2_k:
    case GgmlType::q3_k:
    case GgmlType::q4_k:
    case GgmlType::q5_k:
    case GgmlType::q6_k:
    case GgmlType::iq4_nl:
    case GgmlType::iq4_xs:
    case GgmlType::i8:
    case GgmlType::i16:
    case GgmlType::i32:
    case GgmlType::i64:
    case GgmlType::f64:
      break;
  }
  throw Error({fmt::format("quantizing to {}", name(type)), "no quantizer for this type",
               "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 or Q5_1", ""});
}

}  // namespace

std::vector<std::byte> quantize(GgmlType type, std::span<const float> values) {
  const auto where = [&] { return fmt::format("quantizing to {}", name(type)); };
  const GgmlBlock block = block_of(type);
  if (values.size() % block.values != 0) {
    throw Error({where(), fmt::format("{} values", values.size()), fmt::format("a multiple of {}", block.values), ""});
  }
  const std::size_t count = values.size() / block.values;
  std::vector<std::byte> bytes(count * block.bytes);
  auto* out = reinterpret_cast<std::uint8_t*>(bytes.data());
  parallel_chunks(0, count, kEncodedPerChunk / block.values, [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first * block.values; i < last * block.values; ++i) {
      if (!std::isfinite(values[i]))
        throw Error({where(), fmt::format("the value {} at position {}", values[i], i), "finite values", ""});
    }
    for (std::size_t i = first; i < last; ++i)
      encode_block(type, values.data() + i * block.values, out + i * block.bytes);
  });
  return bytes;
}

}  // namespace lcomp
