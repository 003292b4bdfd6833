// Compiled once per instruction set by Highway's foreach_target. Every target computes the same integers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/trellis_kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "formats/code_vectors-inl.h"
#include "formats/trellis_kernels.h"

#include <algorithm>
#include <cstdlib>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What is below 256 in bytes.
template <class V>
HWY_INLINE void store_bytes(U32 /*d*/, V values, std::uint8_t* to) {
  const hn::Rebind<std::uint8_t, U32> d8;
  hn::StoreU(hn::DemoteTo(d8, hn::BitCast(I32(), values)), d8, to);
}

void parities_vector(const Trellis& trellis, const std::int32_t* codes, std::size_t cols, std::uint32_t* states,
                     std::uint8_t* parities) {
  const U32 d;
  const I32 di;
  std::size_t j = 0;
  for (; j + hn::Lanes(d) <= cols; j += hn::Lanes(d)) {
    const auto state = hn::LoadU(d, states + j);
    store_bytes(d, hn::And(state, hn::Set(d, 1u)), parities + j);
    hn::StoreU(next_states(d, trellis, state, hn::BitCast(d, hn::LoadU(di, codes + j))), d, states + j);
  }
  for (; j < cols; ++j) {
    parities[j] = static_cast<std::uint8_t>(states[j] & 1u);
    states[j] = trellis.next(states[j], codes[j]);
  }
}

// Of at most 2^24 - 1, which floats hold exactly: from 32 on the index is that of the exponent and the first three
// digits behind it.
template <class V>
HWY_INLINE V magnitude_indices(U32 d, V magnitudes) {
  const hn::RebindToFloat<U32> df;
  const auto bits = hn::BitCast(d, hn::ConvertTo(df, hn::BitCast(I32(), magnitudes)));
  const auto large = hn::Sub(hn::ShiftRight<20>(bits), hn::Set(d, ((127u + 5) << 3) - 32));
  const auto exact = hn::Lt(hn::BitCast(I32(), magnitudes), hn::Set(I32(), 32));
  return hn::IfThenElse(hn::RebindMask(d, exact), magnitudes, large);
}

// Of at most 128 columns, so that sums of 32 bits hold theirs. values: the magnitudes.
std::uint64_t magnitudes_vector(const Trellis& trellis, const std::int32_t* codes, std::size_t cols,
                                std::uint32_t* states, std::uint8_t* magnitudes, std::uint32_t* values) {
  const U32 d;
  const I32 di;
  auto sums = hn::Zero(d);
  std::size_t j = 0;
  for (; j + hn::Lanes(d) <= cols; j += hn::Lanes(d)) {
    const auto code = hn::LoadU(di, codes + j);
    auto level = code;
    if (trellis.memory() > 0) {
      const auto state = hn::LoadU(d, states + j);
      level = hn::Add(hn::Add(code, code), hn::BitCast(di, hn::And(state, hn::Set(d, 1u))));
      hn::StoreU(next_states(d, trellis, state, hn::BitCast(d, code)), d, states + j);
    }
    const auto magnitude = hn::BitCast(d, hn::Abs(level));
    store_bytes(d, magnitude_indices(d, magnitude), magnitudes + j);
    hn::StoreU(magnitude, d, values + j);
    sums = hn::Add(sums, magnitude);
  }
  HWY_ALIGN std::uint32_t of_lanes[hn::MaxLanes(U32())];
  hn::Store(sums, d, of_lanes);
  std::uint64_t sum = 0;
  for (std::size_t l = 0; l < hn::Lanes(d); ++l) sum += of_lanes[l];
  for (; j < cols; ++j) {
    values[j] = static_cast<std::uint32_t>(std::abs(trellis.level(states[j], codes[j])));
    states[j] = trellis.next(states[j], codes[j]);
    magnitudes[j] = static_cast<std::uint8_t>(magnitude_index(values[j]));
    sum += values[j];
  }
  return sum;
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(parities_vector);
HWY_EXPORT(magnitudes_vector);

void parities_of_row(const Trellis& trellis, std::span<const std::int32_t> codes, std::uint32_t* states,
                     std::uint8_t* parities) {
  HWY_DYNAMIC_DISPATCH(parities_vector)(trellis, codes.data(), codes.size(), states, parities);
}

std::uint64_t magnitudes_of_row(const Trellis& trellis, std::span<const std::int32_t> codes, std::uint32_t* states,
                                std::uint8_t* magnitudes, std::uint64_t* col_sums) {
  constexpr std::size_t piece = 128;
  std::uint32_t values[piece];
  std::uint64_t sum = 0;
  for (std::size_t j = 0; j < codes.size(); j += piece) {
    const std::size_t count = std::min(piece, codes.size() - j);
    sum +=
        HWY_DYNAMIC_DISPATCH(magnitudes_vector)(trellis, codes.data() + j, count, states + j, magnitudes + j, values);
    for (std::size_t k = 0; k < count; ++k) col_sums[j + k] += values[k];
  }
  return sum;
}

}  // namespace lcomp
#endif
