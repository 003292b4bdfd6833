// Compiled once per instruction set by Highway's foreach_target. Every target computes the same float32 operations, so
// that results don't depend on the machine.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/grouped_integer_decode.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "formats/grouped_integer_decode.h"

#include <algorithm>
#include <cassert>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

template <int kBits>
void decode_row(const std::uint8_t* row, std::size_t readable, std::size_t cols, std::size_t group_size,
                const float* scales, const float* zero_points, float* out) {
  for (std::size_t j = 0; j < cols; ++j) {
    const std::size_t byte = j * kBits / 8;
    const unsigned pair = row[byte] | (byte + 1 < readable ? row[byte + 1] << 8 : 0u);
    const unsigned code = (pair >> (j * kBits % 8)) & ((1u << kBits) - 1);
    out[j] = (static_cast<float>(code) - zero_points[j / group_size]) * scales[j / group_size];
  }
}

#else

// Eight codes of kBits bits take kBits bytes, and each of them lies within two neighbouring bytes. So each 128-bit
// block of the vector gets the bytes of eight codes, each 16-bit lane of it the two bytes of its code; a multiplication
// moves the code to the top of its lane and a shift takes it down again. These are the tables for vectors of up to 512
// bits.
template <int kBits>
struct Tables {
  alignas(64) std::int32_t word[16] = {};     // for each 32-bit lane, which 32-bit word of the input it gets
  alignas(64) std::uint8_t byte[64] = {};     // for each byte, which byte of its block it gets then
  alignas(64) std::uint16_t factor[32] = {};  // of each 16-bit lane

  constexpr Tables() {
    for (int lane = 0; lane < 16; ++lane) word[lane] = lane / 4 * kBits / 4 + lane % 4;
    for (int lane = 0; lane < 32; ++lane) {
      const int bit = lane % 8 * kBits;
      const int first = lane / 8 * kBits % 4 + bit / 8;
      byte[2 * lane] = static_cast<std::uint8_t>(first);
      byte[2 * lane + 1] = static_cast<std::uint8_t>(first + 1);
      factor[lane] = static_cast<std::uint16_t>(1 << (16 - kBits - bit % 8));
    }
  }
};

template <int kBits>
void decode_row(const std::uint8_t* row, std::size_t readable, std::size_t cols, std::size_t group_size,
                const float* scales, const float* zero_points, float* out) {
  static constexpr Tables<kBits> tables;
  const hn::CappedTag<float, 16> df;
  const hn::RebindToSigned<decltype(df)> di32;
  const hn::RebindToUnsigned<decltype(df)> d32;
  const hn::Repartition<std::uint16_t, decltype(df)> d16;
  const hn::Half<decltype(d16)> half16;
  const hn::Repartition<std::uint8_t, decltype(df)> d8;
  const std::size_t step = hn::Lanes(d16);  // codes decoded together
  const std::size_t read_bytes = hn::Lanes(d8);

  const auto word = hn::SetTableIndices(d32, tables.word);
  const auto byte = hn::Load(d8, tables.byte);
  const auto factor = hn::Load(d16, tables.factor);
  for (std::size_t begin = 0, group = 0; begin < cols; begin += std::min(group_size, cols - begin), ++group) {
    const std::size_t end = begin + std::min(group_size, cols - begin);
    const auto scale = hn::Set(df, scales[group]);
    const auto zero_point = hn::Set(df, zero_points[group]);
    for (std::size_t j = begin; j < end; j += step) {
      const std::size_t at = j / 8 * kBits;
      const std::uint8_t* in = row + at;
      std::uint8_t near_the_end[hn::MaxLanes(d8)] = {};
      if (readable - at < read_bytes) {
        std::memcpy(near_the_end, in, readable - at);
        in = near_the_end;
      }
      const auto placed = hn::TableLookupLanes(hn::BitCast(d32, hn::LoadU(d8, in)), word);
      const auto pairs = hn::BitCast(d16, hn::TableLookupBytes(hn::BitCast(d8, placed), byte));
      const auto codes = hn::ShiftRight<16 - kBits>(hn::Mul(pairs, factor));
      const auto low = hn::ConvertTo(df, hn::PromoteTo(di32, hn::LowerHalf(half16, codes)));
      const auto high = hn::ConvertTo(df, hn::PromoteTo(di32, hn::UpperHalf(half16, codes)));
      float partial[hn::MaxLanes(d16)];
      float* to = end - j < step ? partial : out + j;
      hn::StoreU(hn::Mul(hn::Sub(low, zero_point), scale), df, to);
      hn::StoreU(hn::Mul(hn::Sub(high, zero_point), scale), df, to + step / 2);
      if (to == partial) std::copy_n(partial, end - j, out + j);
    }
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

void decode_row_of_any_width(const std::uint8_t* row, std::size_t readable, int bits, std::size_t cols,
                             std::size_t group_size, const float* scales, const float* zero_points, float* out) {
  switch (bits) {
    case 1:
      return decode_row<1>(row, readable, cols, group_size, scales, zero_points, out);
    case 2:
      return decode_row<2>(row, readable, cols, group_size, scales, zero_points, out);
    case 3:
      return decode_row<3>(row, readable, cols, group_size, scales, zero_points, out);
    case 4:
      return decode_row<4>(row, readable, cols, group_size, scales, zero_points, out);
    case 5:
      return decode_row<5>(row, readable, cols, group_size, scales, zero_points, out);
    case 6:
      return decode_row<6>(row, readable, cols, group_size, scales, zero_points, out);
    case 7:
      return decode_row<7>(row, readable, cols, group_size, scales, zero_points, out);
    case 8:
      return decode_row<8>(row, readable, cols, group_size, scales, zero_points, out);
    default:
      assert(false);
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(decode_row_of_any_width);

void decode_packed_row(const std::uint8_t* row, std::size_t readable, int bits, std::size_t cols,
                       std::size_t group_size, const float* scales, const float* zero_points, float* out) {
  assert(group_size % 8 == 0 || group_size >= cols);
  HWY_DYNAMIC_DISPATCH(decode_row_of_any_width)
  (row, readable, bits, cols, group_size, scales, zero_points, out);
}

}  // namespace lcomp
#endif
