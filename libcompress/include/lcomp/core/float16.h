#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lcomp {

// 16-bit floats as their bits. All conversions to 16 bit round to nearest, ties to even; overflow gives infinity; NaN
// stays NaN.
float half_to_float(std::uint16_t bits);
std::uint16_t float_to_half(float value);

inline float bfloat16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
std::uint16_t float_to_bfloat16(float value);

// The same for many values, vectorised (Highway, chosen at run time), with identical results. Sizes must agree.
void half_to_float(std::span<const std::uint16_t> in, std::span<float> out);
void float_to_half(std::span<const float> in, std::span<std::uint16_t> out);
void bfloat16_to_float(std::span<const std::uint16_t> in, std::span<float> out);
void float_to_bfloat16(std::span<const float> in, std::span<std::uint16_t> out);

// Index of the first finite value that the conversion makes infinite (|value| >= 65520 for half); values.size() when
// there is none.
std::size_t find_half_overflow(std::span<const float> values);
std::size_t find_bfloat16_overflow(std::span<const float> values);

}  // namespace lcomp
