// Compiled once per instruction set by Highway's foreach_target; the scalar forms below are the definition.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/float16.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "lcomp/core/float16.h"

#include <cassert>
#include <cmath>
#include <cstddef>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Integer arithmetic throughout, as in the scalar forms: the conversion instructions of the machines differ in what
// they do to NaN, and Highway's replacements for them, where there are none, in more.

using Floats = hn::ScalableTag<float>;
using Words = hn::RebindToUnsigned<Floats>;
using SignedWords = hn::RebindToSigned<Floats>;
using Halves = hn::Rebind<std::uint16_t, Floats>;

// Converts whole vectors by `vector_form`, the rest by `scalar_form`.
template <typename In, typename Out, typename VectorForm, typename ScalarForm>
HWY_INLINE void convert(const In* in, Out* out, std::size_t size, const VectorForm& vector_form,
                        const ScalarForm& scalar_form) {
  const std::size_t lanes = hn::Lanes(Floats());
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) vector_form(in + i, out + i);
  for (; i < size; ++i) out[i] = scalar_form(in[i]);
}

void half_to_float_vector(const std::uint16_t* in, float* out, std::size_t size) {
  const Floats d;
  const Words words;
  const SignedWords integers;
  const Halves halves;
  const auto form = [&](const std::uint16_t* from, float* to) HWY_ATTR {
    const auto bits = hn::PromoteTo(words, hn::LoadU(halves, from));
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(words, 0x8000u)));
    const auto magnitude = hn::And(bits, hn::Set(words, 0x7fffu));
    const auto rebias = hn::Set(words, 112u << 23);
    const auto normal = hn::Add(hn::ShiftLeft<13>(magnitude), rebias);
    const auto count = hn::ConvertTo(d, hn::BitCast(integers, magnitude));  // of 2^-24, when subnormal
    const auto subnormal = hn::BitCast(words, hn::Mul(count, hn::Set(d, 0x1.0p-24f)));
    const auto is_subnormal = hn::Lt(magnitude, hn::Set(words, 0x400u));
    const auto is_special = hn::Gt(magnitude, hn::Set(words, 0x7bffu));  // infinity and NaN: the largest exponent
    const auto finite = hn::IfThenElse(is_subnormal, subnormal, normal);
    const auto result = hn::Add(finite, hn::IfThenElseZero(is_special, rebias));
    hn::StoreU(hn::BitCast(d, hn::Or(result, sign)), d, to);
  };
  convert(in, out, size, form, [](std::uint16_t bits) { return lcomp::half_to_float(bits); });
}

void float_to_half_vector(const float* in, std::uint16_t* out, std::size_t size) {
  const Floats d;
  const Words words;
  const SignedWords integers;
  const Halves halves;
  const auto form = [&](const float* from, std::uint16_t* to) HWY_ATTR {
    const auto bits = hn::BitCast(words, hn::LoadU(d, from));
    const auto magnitude = hn::And(bits, hn::Set(words, 0x7fffffffu));
    const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 0x8000u));
    const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(words, 1u));
    const auto rounded = hn::Add(magnitude, hn::Add(odd, hn::Set(words, 0xfffu)));
    const auto normal = hn::ShiftRight<13>(hn::Sub(rounded, hn::Set(words, 0x38000000u)));
    const auto shifted = hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0.5f));
    const auto subnormal = hn::Sub(hn::BitCast(words, shifted), hn::Set(words, 0x3f000000u));
    auto result = hn::IfThenElse(hn::Lt(magnitude, hn::Set(words, 0x38800000u)), subnormal, normal);
    result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(words, 0x477fefffu)), hn::Set(words, 0x7c00u), result);
    result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(words, 0x7f800000u)), hn::Set(words, 0x7e00u), result);
    hn::StoreU(hn::DemoteTo(halves, hn::BitCast(integers, hn::Or(result, sign))), halves, to);
  };
  convert(in, out, size, form, [](float value) { return lcomp::float_to_half(value); });
}

void bfloat16_to_float_vector(const std::uint16_t* in, float* out, std::size_t size) {
  const Floats d;
  const Words words;
  const Halves halves;
  const auto form = [&](const std::uint16_t* from, float* to) HWY_ATTR {
    hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(words, hn::LoadU(halves, from)))), d, to);
  };
  convert(in, out, size, form, [](std::uint16_t bits) { return lcomp::bfloat16_to_float(bits); });
}

void float_to_bfloat16_vector(const float* in, std::uint16_t* out, std::size_t size) {
  const Floats d;
  const Words words;
  const SignedWords integers;
  const Halves halves;
  const auto form = [&](const float* from, std::uint16_t* to) HWY_ATTR {
    const auto bits = hn::BitCast(words, hn::LoadU(d, from));
    const auto upper = hn::ShiftRight<16>(bits);
    const auto odd = hn::And(upper, hn::Set(words, 1u));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7fffu))));
    const auto is_nan = hn::Gt(hn::And(bits, hn::Set(words, 0x7fffffffu)), hn::Set(words, 0x7f800000u));
    const auto result = hn::IfThenElse(is_nan, hn::Or(upper, hn::Set(words, 0x40u)), rounded);
    hn::StoreU(hn::DemoteTo(halves, hn::BitCast(integers, result)), halves, to);
  };
  convert(in, out, size, form, [](float value) { return lcomp::float_to_bfloat16(value); });
}

// Index of the first finite value with |value| >= limit, or size.
std::size_t find_finite_from_vector(const float* in, std::size_t size, float limit) {
  const Floats d;
  const auto low = hn::Set(d, limit);
  const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto magnitude = hn::Abs(hn::LoadU(d, in + i));
    if (!hn::AllFalse(d, hn::And(hn::Ge(magnitude, low), hn::Lt(magnitude, infinity)))) break;
  }
  for (; i < size; ++i) {
    const float magnitude = std::fabs(in[i]);
    if (magnitude >= limit && magnitude < std::numeric_limits<float>::infinity()) return i;
  }
  return size;
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(half_to_float_vector);
HWY_EXPORT(float_to_half_vector);
HWY_EXPORT(bfloat16_to_float_vector);
HWY_EXPORT(float_to_bfloat16_vector);
HWY_EXPORT(find_finite_from_vector);

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
  HWY_DYNAMIC_DISPATCH(float_to_half_vector)(in.data(), out.data(), in.size());
}

void bfloat16_to_float(std::span<const std::uint16_t> in, std::span<float> out) {
  assert(in.size() == out.size());
  HWY_DYNAMIC_DISPATCH(bfloat16_to_float_vector)(in.data(), out.data(), in.size());
}

void float_to_bfloat16(std::span<const float> in, std::span<std::uint16_t> out) {
  assert(in.size() == out.size());
  HWY_DYNAMIC_DISPATCH(float_to_bfloat16_vector)(in.data(), out.data(), in.size());
}

// The limits are half a step beyond the largest number: the even neighbour of it, to which a tie is rounded, is
// infinity.
std::size_t find_half_overflow(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(find_finite_from_vector)(values.data(), values.size(), 65520.0f);
}

std::size_t find_bfloat16_overflow(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(find_finite_from_vector)(values.data(), values.size(), 0x1.ffp127f);
}

}  // namespace lcomp
#endif
