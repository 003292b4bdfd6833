// Compiled once per instruction set by Highway's foreach_target. Every target computes the same integers and the same
// float32 products.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "block_decoder_kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "coder_cursor.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#ifndef LCOMP_FORMATS_WORD_OF_LANE
#define LCOMP_FORMATS_WORD_OF_LANE
namespace lcomp {

// For each set of eight lanes, which of the next words each lane of the set takes: the number of its members below.
struct WordOfLane {
  alignas(64) std::uint8_t below[256][8] = {};

  constexpr WordOfLane() {
    for (int set = 0; set < 256; ++set) {
      for (int lane = 0; lane < 8; ++lane) {
        below[set][lane] = static_cast<std::uint8_t>(std::popcount(static_cast<unsigned>(set & ((1 << lane) - 1))));
      }
    }
  }
};
inline constexpr WordOfLane word_of_lane;

}  // namespace lcomp
#endif

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

bool decode_groups_vector(const GroupDecoder& decoder, CoderCursor& cursor, bool /*has_extra_bits*/, int row_class,
                          const std::int32_t* column_classes, std::size_t groups, std::uint32_t* states,
                          std::int32_t* out) {
  for (std::size_t begin = 0; begin < groups * coder_lanes; begin += coder_lanes) {
    if (!cursor.prepare_group()) return false;
    decode_group(decoder, cursor, row_class, column_classes + begin, coder_lanes, states + begin, out + begin);
  }
  return true;
}

#else

constexpr std::int32_t kEscaped = std::numeric_limits<std::int32_t>::min();

using U32 = hn::CappedTag<std::uint32_t, 16>;
using I32 = hn::RebindToSigned<U32>;

// x, those lanes that are below 2^16 having taken the next words, in order. Moves `at` behind them.
template <class V>
HWY_INLINE V refill(U32 d, V x, const std::uint8_t*& at) {
  const hn::Rebind<std::uint16_t, U32> d16;
  const hn::Rebind<std::uint8_t, U32> d8;
  const hn::Repartition<std::uint8_t, decltype(d16)> bytes;
  const auto takes = hn::Lt(x, hn::Set(d, least_coder_state));
  std::uint8_t sets[8] = {};
  hn::StoreMaskBits(d, takes, sets);
  const auto next = hn::PromoteTo(d, hn::BitCast(d16, hn::LoadU(bytes, at)));
  auto words = x;
  if constexpr (hn::MaxLanes(U32()) <= 8) {
    at += 2 * static_cast<std::size_t>(std::popcount(sets[0]));
    const auto which = hn::PromoteTo(d, hn::LoadU(d8, word_of_lane.below[sets[0]]));
    words = hn::TableLookupLanes(next, hn::IndicesFromVec(d, which));
  } else {
    const hn::Half<decltype(d8)> half;
    const auto in_low = std::popcount(sets[0]);
    at += 2 * static_cast<std::size_t>(in_low + std::popcount(sets[1]));
    const auto low = hn::LoadU(half, word_of_lane.below[sets[0]]);
    const auto high =
        hn::Add(hn::LoadU(half, word_of_lane.below[sets[1]]), hn::Set(half, static_cast<std::uint8_t>(in_low)));
    const auto which = hn::PromoteTo(d, hn::Combine(d8, high, low));
    words = hn::TableLookupLanes(next, hn::IndicesFromVec(d, which));
  }
  return hn::IfThenElse(takes, hn::Or(hn::ShiftLeft<16>(x), words), x);
}

// How a lane's code is written: class_code().
template <class V>
HWY_INLINE V extra_bits_of(I32 d, V classes) {
  return hn::Max(hn::ShiftRight<2>(hn::Sub(classes, hn::Set(d, CodeTables::largest_class - 3))), hn::Zero(d));
}

template <bool kChained, bool kExtraBits>
bool decode_groups_of(const GroupDecoder& decoder, CoderCursor& cursor, int row_class,
                      const std::int32_t* column_classes, std::size_t groups, std::uint32_t* states,
                      std::int32_t* out) {
  const U32 d;
  const I32 di;
  const auto row = hn::Set(di, row_class);
  const auto smallest = hn::Set(di, CodeTables::smallest_class);
  const auto widest = hn::Set(di, CodeTables::widest_class);
  const auto mask = hn::Set(d, CodeTables::total - 1);
  const auto one = hn::Set(d, 1u);
  const auto escape = hn::Set(di, static_cast<std::int32_t>(CodeTables::escape));
  const auto half_alphabet = hn::Set(di, CodeTables::half_alphabet);
  const auto escaped_mark = hn::Set(di, kEscaped);
  const auto odd_tables = hn::Set(d, static_cast<std::uint32_t>(CodeTables::classes));
  const auto parity_mask = hn::Set(d, decoder.trellis.parity_mask());
  const auto input_mask = hn::Set(d, decoder.trellis.input_mask());
  const auto* entries = reinterpret_cast<const std::int32_t*>(decoder.tables->slots.data()->entries);
  const std::size_t lanes = hn::Lanes(d);

  for (std::size_t g = 0; g < groups; ++g, column_classes += coder_lanes, states += coder_lanes, out += coder_lanes) {
    if (!cursor.prepare_group()) return false;
    const std::uint8_t* at = cursor.at;
    bool any_escaped = false;
    for (std::size_t l = 0; l < coder_lanes; l += lanes) {
      auto classes = hn::Min(hn::Max(hn::Add(row, hn::LoadU(di, column_classes + l)), smallest), widest);
      if constexpr (kExtraBits) classes = hn::Sub(classes, hn::ShiftLeft<2>(extra_bits_of(di, classes)));
      auto table = hn::BitCast(d, hn::Sub(classes, smallest));
      if constexpr (kChained) {
        const auto odd = hn::And(hn::LoadU(d, states + l), one);
        table = hn::Add(table, hn::And(hn::Sub(hn::Zero(d), odd), odd_tables));
      }
      const auto x = hn::Load(d, cursor.states.data() + l);
      const auto index = hn::Or(hn::ShiftLeft<CodeTables::probability_bits>(table), hn::And(x, mask));
      const auto entry = hn::BitCast(d, hn::GatherIndex(di, entries, hn::BitCast(di, index)));
      const auto frequency = hn::And(hn::ShiftRight<12>(entry), mask);
      const auto next =
          hn::Add(hn::Mul(frequency, hn::ShiftRight<CodeTables::probability_bits>(x)), hn::And(entry, mask));
      hn::Store(refill(d, next, at), d, cursor.states.data() + l);
      const auto symbol = hn::BitCast(di, hn::ShiftRight<24>(entry));
      const auto escaped = hn::Eq(symbol, escape);
      any_escaped |= !hn::AllFalse(di, escaped);
      hn::StoreU(hn::IfThenElse(escaped, escaped_mark, hn::Sub(symbol, half_alphabet)), di, out + l);
    }
    if constexpr (kExtraBits) {
      for (std::size_t l = 0; l < coder_lanes; l += lanes) {
        const auto classes = hn::Min(hn::Max(hn::Add(row, hn::LoadU(di, column_classes + l)), smallest), widest);
        const auto extra = extra_bits_of(di, classes);
        const auto x = hn::Load(d, cursor.states.data() + l);
        const auto rest = hn::Shr(x, hn::BitCast(d, extra));
        const auto low = hn::BitCast(di, hn::Sub(x, hn::Shl(rest, hn::BitCast(d, extra))));
        hn::Store(refill(d, rest, at), d, cursor.states.data() + l);
        const auto high = hn::LoadU(di, out + l);
        const auto code = hn::Add(hn::Shl(high, extra), low);
        hn::StoreU(hn::IfThenElse(hn::Eq(high, escaped_mark), escaped_mark, code), di, out + l);
      }
    }
    if (any_escaped) {
      for (std::size_t l = 0; l < coder_lanes; ++l) {
        if (out[l] == kEscaped) out[l] = take_escaped(cursor.states[l], at);
      }
    }
    cursor.at = at;
    if constexpr (kChained) {
      for (std::size_t l = 0; l < coder_lanes; l += lanes) {
        const auto code = hn::BitCast(d, hn::LoadU(di, out + l));
        const auto state = hn::LoadU(d, states + l);
        const auto odd = hn::And(state, one);
        const auto of_state = hn::And(hn::Sub(hn::Zero(d), odd), parity_mask);
        const auto of_code = hn::And(hn::Sub(hn::Zero(d), hn::And(code, one)), input_mask);
        hn::StoreU(hn::Xor(hn::ShiftRight<1>(state), hn::Xor(of_state, of_code)), d, states + l);
        if (decoder.as_codes) continue;
        hn::StoreU(hn::BitCast(di, hn::Add(hn::Add(code, code), odd)), di, out + l);
      }
    }
  }
  return true;
}

bool decode_groups_vector(const GroupDecoder& decoder, CoderCursor& cursor, bool has_extra_bits, int row_class,
                          const std::int32_t* column_classes, std::size_t groups, std::uint32_t* states,
                          std::int32_t* out) {
  const bool chained = decoder.trellis.memory() > 0;
  const auto decode = chained ? (has_extra_bits ? decode_groups_of<true, true> : decode_groups_of<true, false>)
                              : (has_extra_bits ? decode_groups_of<false, true> : decode_groups_of<false, false>);
  return decode(decoder, cursor, row_class, column_classes, groups, states, out);
}

#endif  // HWY_TARGET == HWY_SCALAR

void levels_to_weights_vector(const std::int32_t* levels, float base_step, const float* powers, int row_step,
                              const std::int32_t* column_steps, std::size_t size, float* weights) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const auto base = hn::Set(d, base_step);
  std::size_t j = 0;
  for (; j + hn::Lanes(d) <= size; j += hn::Lanes(d)) {
    const auto power = hn::GatherIndex(d, powers + row_step, hn::LoadU(di, column_steps + j));
    const auto level = hn::ConvertTo(d, hn::LoadU(di, levels + j));
    const auto weight = hn::Mul(level, hn::Mul(base, power));
    hn::StoreU(hn::IfThenZeroElse(hn::Eq(level, hn::Zero(d)), weight), d, weights + j);
  }
  for (; j < size; ++j) {
    const float step = base_step * powers[row_step + column_steps[j]];
    weights[j] = levels[j] == 0 ? 0.0f : static_cast<float>(levels[j]) * step;
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(decode_groups_vector);
HWY_EXPORT(levels_to_weights_vector);

bool decode_groups_of_row(const GroupDecoder& decoder, CoderCursor& cursor, bool has_extra_bits, int row_class,
                          const std::int32_t* column_classes, std::size_t groups, std::uint32_t* states,
                          std::int32_t* out) {
  return HWY_DYNAMIC_DISPATCH(decode_groups_vector)(decoder, cursor, has_extra_bits, row_class, column_classes, groups,
                                                    states, out);
}

void levels_to_weights(const std::int32_t* levels, float base_step, const float* powers, int row_step,
                       const std::int32_t* column_steps, std::size_t size, float* weights) {
  HWY_DYNAMIC_DISPATCH(levels_to_weights_vector)(levels, base_step, powers, row_step, column_steps, size, weights);
}

}  // namespace lcomp
#endif
