// Compiled once per instruction set by Highway's foreach_target; the scalar forms below are the definition.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "float16.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "lcomp/core/float16.h"

#include <cassert>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void half_to_float_vector(const std::uint16_t* in, float* out, std::size_t size) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> d16;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    hn::StoreU(hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(in + i))), d, out + i);
  }
  for (; i < size; ++i) out[i] = half_to_float(in[i]);
}

void bfloat16_to_float_vector(const std::uint16_t* in, float* out, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) out[i] = bfloat16_to_float(in[i]);
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(half_to_float_vector);
HWY_EXPORT(bfloat16_to_float_vector);

float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1.0p-24f;  // subnormal or zero: exact
  return sign != 0 ? -magnitude : magnitude;
}

std::uint16_t float_to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);   // NaN
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds to 2^16 or more
  if (magnitude < 0x38800000u) {
    // Subnormal result: adding 0.5 leaves the value, rounded to a multiple of 2^-24, in the low bits of the mantissa.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

std::uint16_t float_to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);  // NaN stays NaN
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

void half_to_float(std::span<const std::uint16_t> in, std::span<float> out) {
  assert(in.size() == out.size());
  HWY_DYNAMIC_DISPATCH(half_to_float_vector)(in.data(), out.data(), in.size());
}

void float_to_half(std::span<const float> in, std::span<std::uint16_t> out) {
  assert(in.size() == out.size());
  for (std::size_t i = 0; i < in.size(); ++i) out[i] = float_to_half(in[i]);
}

void bfloat16_to_float(std::span<const std::uint16_t> in, std::span<float> out) {
  assert(in.size() == out.size());
  HWY_DYNAMIC_DISPATCH(bfloat16_to_float_vector)(in.data(), out.data(), in.size());
}

void float_to_bfloat16(std::span<const float> in, std::span<std::uint16_t> out) {
  assert(in.size() == out.size());
  for (std::size_t i = 0; i < in.size(); ++i) out[i] = float_to_bfloat16(in[i]);
}

}  // namespace lcomp
#endif
