// Compiled once per instruction set by Highway's foreach_target. Every target computes the same integers and the same
// float32 products.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "block_decoder_kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "coder_cursor.h"

#include <bit>
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

bool decode_codes_vector(const GroupDecoder& decoder, CoderCursor& cursor, const GroupClasses& classes,
                         std::size_t groups, std::uint32_t* states, std::int32_t* codes) {
  for (std::size_t begin = 0; begin < groups * coder_lanes; begin += coder_lanes) {
    if (!cursor.prepare_group()) return false;
    decode_group(decoder, cursor, classes.row, classes.columns + begin, coder_lanes, states + begin, codes + begin);
    advance_states(decoder.trellis, codes + begin, coder_lanes, states + begin);
  }
  return true;
}

bool decode_weights_vector(const GroupDecoder& decoder, CoderCursor& cursor, const GroupClasses& classes,
                           const RowSteps& steps, std::size_t groups, std::uint32_t* states, float* weights) {
  std::int32_t codes[coder_lanes];
  for (std::size_t begin = 0; begin < groups * coder_lanes; begin += coder_lanes) {
    if (!cursor.prepare_group()) return false;
    decode_group(decoder, cursor, classes.row, classes.columns + begin, coder_lanes, states + begin, codes);
    codes_to_weights(decoder.trellis, codes, states + begin, steps.from(begin), coder_lanes, weights + begin);
    advance_states(decoder.trellis, codes, coder_lanes, states + begin);
  }
  return true;
}

#else

using U32 = hn::CappedTag<std::uint32_t, 16>;
using I32 = hn::RebindToSigned<U32>;
using F32 = hn::RebindToFloat<U32>;

constexpr std::int32_t kEscape = static_cast<std::int32_t>(CodeTables::escape) - CodeTables::half_alphabet;
constexpr int kParityBit = CodeTables::probability_bits;  // of an index into slots, below the class

// The next words, in order, in those lanes that take one; what the others hold has no meaning. Moves `at` behind them.
template <class V, class M>
HWY_INLINE V take_words(U32 d, M takes, const std::uint8_t*& at) {
  const hn::Rebind<std::uint16_t, U32> d16;
  const hn::Rebind<std::uint8_t, U32> d8;
  const hn::Repartition<std::uint8_t, decltype(d16)> bytes;
  const V next = hn::PromoteTo(d, hn::BitCast(d16, hn::LoadU(bytes, at)));
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  static_cast<void>(d8);
  at += 2 * hn::CountTrue(d, takes);
  return V{_mm512_maskz_expand_epi32(takes.raw, next.raw)};  // which Highway has no name for
#else
  std::uint8_t sets[8] = {};
  hn::StoreMaskBits(d, takes, sets);
  if constexpr (hn::MaxLanes(U32()) <= 8) {
    at += 2 * static_cast<std::size_t>(std::popcount(sets[0]));
    const auto which = hn::PromoteTo(d, hn::LoadU(d8, word_of_lane.below[sets[0]]));
    return hn::TableLookupLanes(next, hn::IndicesFromVec(d, which));
  } else {
    const hn::Half<decltype(d8)> half;
    const auto in_low = std::popcount(sets[0]);
    at += 2 * static_cast<std::size_t>(in_low + std::popcount(sets[1]));
    const auto low = hn::LoadU(half, word_of_lane.below[sets[0]]);
    const auto high =
        hn::Add(hn::LoadU(half, word_of_lane.below[sets[1]]), hn::Set(half, static_cast<std::uint8_t>(in_low)));
    const auto which = hn::PromoteTo(d, hn::Combine(d8, high, low));
    return hn::TableLookupLanes(next, hn::IndicesFromVec(d, which));
  }
#endif
}

// x, those lanes that are below 2^16 having taken the next words, in order. Moves `at` behind them.
template <class V>
HWY_INLINE V refill(U32 d, V x, const std::uint8_t*& at) {
  const auto takes = hn::Eq(hn::ShiftRight<16>(x), hn::Zero(d));
  const V words = take_words<V>(d, takes, at);
  return hn::IfThenElse(takes, hn::Or(hn::ShiftLeft<16>(x), words), x);
}

// How a lane's code is written: class_code().
template <class V>
HWY_INLINE V clamped(I32 d, V classes) {
  return hn::Min(hn::Max(classes, hn::Set(d, CodeTables::smallest_class)), hn::Set(d, CodeTables::widest_class));
}
template <class V>
HWY_INLINE V extra_bits_of(I32 d, V clamped_classes) {
  return hn::Max(hn::ShiftRight<2>(hn::Sub(clamped_classes, hn::Set(d, CodeTables::largest_class - 3))), hn::Zero(d));
}

// Appends the plain bits to a group's codes, of which `codes` holds what the tables say; escaped ones become `mark`.
// Returns where the stream goes on.
const std::uint8_t* take_extra_bits(const std::int32_t* column_classes, int row_class, const std::uint8_t* at,
                                    std::int32_t mark, std::uint32_t* coder_states, std::int32_t* codes) {
  const U32 d;
  const I32 di;
  for (std::size_t l = 0; l < coder_lanes; l += hn::Lanes(d)) {
    const auto classes = clamped(di, hn::Add(hn::Set(di, row_class), hn::LoadU(di, column_classes + l)));
    const auto extra = extra_bits_of(di, classes);
    const auto x = hn::Load(d, coder_states + l);
    const auto rest = hn::Shr(x, hn::BitCast(d, extra));
    const auto low = hn::BitCast(di, hn::Sub(x, hn::Shl(rest, hn::BitCast(d, extra))));
    hn::Store(refill(d, rest, at), d, coder_states + l);
    const auto high = hn::LoadU(di, codes + l);
    const auto code = hn::Add(hn::Shl(high, extra), low);
    hn::StoreU(hn::IfThenElse(hn::Eq(high, hn::Set(di, kEscape)), hn::Set(di, mark), code), di, codes + l);
  }
  return at;
}

template <bool kChained, bool kToWeights>
bool decode_row(const GroupDecoder& decoder, CoderCursor& cursor, const GroupClasses& classes, const RowSteps& steps,
                std::size_t groups, std::uint32_t* HWY_RESTRICT states, std::int32_t* HWY_RESTRICT codes_out,
                float* HWY_RESTRICT weights) {
  const U32 d;
  const I32 di;
  const F32 df;
  const auto row = hn::Set(di, classes.row);
  const auto smallest = hn::Set(di, CodeTables::smallest_class);
  const auto mask = hn::Set(d, CodeTables::total - 1);
  const auto one = hn::Set(d, 1u);
  const auto parity_mask = hn::Set(d, decoder.trellis.parity_mask());
  const auto input_mask = hn::Set(d, decoder.trellis.input_mask());
  const auto base = hn::Set(df, steps.base);
  const auto octave = hn::Set(df, steps.octave);
  const auto* entries = reinterpret_cast<const std::int32_t*>(decoder.tables->slots.data()->entries);
  const std::size_t lanes = hn::Lanes(d);
  HWY_ALIGN std::int32_t group_codes[coder_lanes];
  const std::uint8_t* at = cursor.at;

  for (std::size_t g = 0; g < groups; ++g) {
    if (HWY_UNLIKELY(cursor.end - at < static_cast<std::ptrdiff_t>(CoderCursor::margin))) {
      cursor.at = at;
      if (!cursor.prepare_group()) return false;
      at = cursor.at;
    }
    const std::size_t first = g * coder_lanes;
    std::int32_t* codes = kToWeights ? group_codes : codes_out + first;
    const bool has_extra_bits = classes.row + classes.largest[g] > CodeTables::largest_class;
    auto most = hn::Zero(di);  // its uppermost byte tells whether an escape is among the entries
    for (std::size_t l = 0; l < coder_lanes; l += lanes) {
      auto of_class = hn::Add(row, hn::LoadU(di, classes.columns + first + l));
      if (HWY_UNLIKELY(has_extra_bits)) {
        of_class = clamped(di, of_class);
        of_class = hn::Sub(of_class, hn::ShiftLeft<2>(extra_bits_of(di, of_class)));
      }
      const auto table = hn::Sub(hn::Max(of_class, smallest), smallest);
      const auto x = hn::Load(d, cursor.states.data() + l);
      auto index = hn::Or(hn::ShiftLeft<kParityBit + 1>(hn::BitCast(d, table)), hn::And(x, mask));
      if constexpr (kChained) {
        index = hn::Or(index, hn::ShiftLeft<kParityBit>(hn::And(hn::LoadU(d, states + first + l), one)));
      }
      const auto entry = hn::GatherIndex(di, entries, hn::BitCast(di, index));
      most = hn::Max(most, entry);
      hn::StoreU(hn::ShiftRight<24>(entry), di, codes + l);
      const auto bits = hn::BitCast(d, entry);
      const auto frequency = hn::And(hn::ShiftRight<12>(bits), mask);
      const auto next =
          hn::Add(hn::Mul(frequency, hn::ShiftRight<CodeTables::probability_bits>(x)), hn::And(bits, mask));
      hn::Store(refill(d, next, at), d, cursor.states.data() + l);
    }
    std::int32_t mark = kEscape;
    if (HWY_UNLIKELY(has_extra_bits)) {
      mark = std::numeric_limits<std::int32_t>::min();
      at = take_extra_bits(classes.columns + first, classes.row, at, mark, cursor.states.data(), codes);
    }
    if (HWY_UNLIKELY(!hn::AllFalse(di, hn::Gt(most, hn::Set(di, (kEscape << 24) - 1))))) {
      at = take_escaped_codes(at, mark, cursor.states.data(), codes);
    }
    if constexpr (!kChained && !kToWeights) continue;
    for (std::size_t l = 0; l < coder_lanes; l += lanes) {
      auto level = hn::LoadU(di, codes + l);
      if constexpr (kChained) {
        const auto code = hn::BitCast(d, level);
        const auto state = hn::LoadU(d, states + first + l);
        const auto odd = hn::And(state, one);
        const auto of_state = hn::And(hn::Sub(hn::Zero(d), odd), parity_mask);
        const auto of_code = hn::And(hn::Sub(hn::Zero(d), hn::And(code, one)), input_mask);
        hn::StoreU(hn::Xor(hn::ShiftRight<1>(state), hn::Xor(of_state, of_code)), d, states + first + l);
        level = hn::BitCast(di, hn::Add(hn::Add(code, code), odd));
      }
      if constexpr (kToWeights) {
        const auto step = hn::Mul(base, hn::Mul(hn::LoadU(df, steps.powers + first + l), octave));
        const auto value = hn::ConvertTo(df, level);
        hn::StoreU(hn::IfThenZeroElse(hn::Eq(value, hn::Zero(df)), hn::Mul(value, step)), df, weights + first + l);
      }
    }
  }
  cursor.at = at;
  return true;
}

bool decode_codes_vector(const GroupDecoder& decoder, CoderCursor& cursor, const GroupClasses& classes,
                         std::size_t groups, std::uint32_t* states, std::int32_t* codes) {
  const auto decode = decoder.trellis.memory() > 0 ? decode_row<true, false> : decode_row<false, false>;
  return decode(decoder, cursor, classes, {}, groups, states, codes, nullptr);
}

bool decode_weights_vector(const GroupDecoder& decoder, CoderCursor& cursor, const GroupClasses& classes,
                           const RowSteps& steps, std::size_t groups, std::uint32_t* states, float* weights) {
  const auto decode = decoder.trellis.memory() > 0 ? decode_row<true, true> : decode_row<false, true>;
  return decode(decoder, cursor, classes, steps, groups, states, nullptr, weights);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(decode_codes_vector);
HWY_EXPORT(decode_weights_vector);

bool decode_codes_of_row(const GroupDecoder& decoder, CoderCursor& cursor, const GroupClasses& classes,
                         std::size_t groups, std::uint32_t* states, std::int32_t* codes) {
  return HWY_DYNAMIC_DISPATCH(decode_codes_vector)(decoder, cursor, classes, groups, states, codes);
}

bool decode_weights_of_row(const GroupDecoder& decoder, CoderCursor& cursor, const GroupClasses& classes,
                           const RowSteps& steps, std::size_t groups, std::uint32_t* states, float* weights) {
  return HWY_DYNAMIC_DISPATCH(decode_weights_vector)(decoder, cursor, classes, steps, groups, states, weights);
}

}  // namespace lcomp
#endif
