// Compiled once per instruction set by Highway's foreach_target. Every target computes the same integers and the same
// float32 products.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/block_decoder_kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "formats/code_vectors-inl.h"
#include "formats/coder_cursor.h"

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

bool decode_codes_vector(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t groups) {
  for (std::size_t begin = 0; begin < groups * coder_lanes; begin += coder_lanes) {
    if (!row.cursor->prepare_group()) return false;
    decode_group(decoder, row, begin, coder_lanes, row.codes + begin);
    advance_states(decoder.trellis, row.codes + begin, coder_lanes, row.states + begin);
  }
  return true;
}

bool decode_weights_vector(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t groups) {
  for (std::size_t begin = 0; begin < groups * coder_lanes; begin += coder_lanes) {
    if (!row.cursor->prepare_group()) return false;
    decode_group_to_weights(decoder, row, begin, coder_lanes);
  }
  return true;
}

bool decode_two_vector(const GroupDecoder& decoder, const RowOfBlock& row, const RowOfBlock& other,
                       std::size_t groups) {
  return decode_weights_vector(decoder, row, groups) && decode_weights_vector(decoder, other, groups);
}

#else

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

// Makes sure of the bytes of a group. False when the stream has ended.
HWY_INLINE bool prepare_group(CoderCursor& cursor, const std::uint8_t*& at) {
  if (HWY_LIKELY(cursor.end - at >= static_cast<std::ptrdiff_t>(CoderCursor::margin))) return true;
  cursor.at = at;
  const bool good = cursor.prepare_group();
  at = cursor.at;
  return good;
}

// What the tables say of the codes of a vector's columns, from `col` on; `lane`: its first in the group.
template <bool kChained>
HWY_INLINE void take_symbols(const GroupDecoder& decoder, const RowOfBlock& row, bool has_extra_bits, std::size_t col,
                             std::size_t lane, const std::uint8_t*& at, std::int32_t* codes) {
  const U32 d;
  const I32 di;
  const auto smallest = hn::Set(di, CodeTables::smallest_class);
  const auto mask = hn::Set(d, CodeTables::total - 1);
  const auto* entries = reinterpret_cast<const std::int32_t*>(decoder.tables->slots.data()->entries);
  std::uint32_t* coder_states = row.cursor->states.data() + lane;
  auto classes = hn::Add(hn::Set(di, row.classes.row), hn::LoadU(di, row.classes.columns + col));
  if (HWY_UNLIKELY(has_extra_bits)) {
    classes = clamped(di, classes);
    classes = hn::Sub(classes, hn::ShiftLeft<2>(extra_bits_of(di, classes)));
  }
  const auto table = hn::BitCast(d, hn::Sub(hn::Max(classes, smallest), smallest));
  const auto x = hn::Load(d, coder_states);
  auto index = hn::Or(hn::ShiftLeft<kParityBit + 1>(table), hn::And(x, mask));
  if constexpr (kChained) {
    const auto odd = hn::And(hn::LoadU(d, row.states + col), hn::Set(d, 1u));
    index = hn::Or(index, hn::ShiftLeft<kParityBit>(odd));
  }
  const auto entry = hn::GatherIndex(di, entries, hn::BitCast(di, index));
  hn::StoreU(hn::ShiftRight<24>(entry), di, codes + lane);
  const auto bits = hn::BitCast(d, entry);
  const auto frequency = hn::And(hn::ShiftRight<12>(bits), mask);
  const auto next = hn::Add(hn::Mul(frequency, hn::ShiftRight<CodeTables::probability_bits>(x)), hn::And(bits, mask));
  hn::Store(refill(d, next, at), d, coder_states);
}

// The rest of a group's codes, then the states after them, and the weights.
template <bool kChained, bool kToWeights>
HWY_INLINE void finish_group(const GroupDecoder& decoder, const RowOfBlock& row, bool has_extra_bits, std::size_t first,
                             const std::uint8_t*& at, std::int32_t* codes) {
  const U32 d;
  const I32 di;
  const F32 df;
  const std::size_t lanes = hn::Lanes(d);
  auto most = hn::LoadU(di, codes);
  for (std::size_t l = lanes; l < coder_lanes; l += lanes) most = hn::Max(most, hn::LoadU(di, codes + l));
  std::int32_t mark = kEscape;
  if (HWY_UNLIKELY(has_extra_bits)) {
    mark = std::numeric_limits<std::int32_t>::min();
    at = take_extra_bits(row.classes.columns + first, row.classes.row, at, mark, row.cursor->states.data(), codes);
  }
  if (HWY_UNLIKELY(!hn::AllFalse(di, hn::Eq(most, hn::Set(di, kEscape))))) {
    at = take_escaped_codes(at, mark, row.cursor->states.data(), codes);
  }
  if constexpr (!kChained && !kToWeights) return;
  for (std::size_t l = 0; l < coder_lanes; l += lanes) {
    auto level = hn::LoadU(di, codes + l);
    if constexpr (kChained) {
      const auto code = hn::BitCast(d, level);
      const auto state = hn::LoadU(d, row.states + first + l);
      hn::StoreU(next_states(d, decoder.trellis, state, code), d, row.states + first + l);
      level = hn::BitCast(di, hn::Add(hn::Add(code, code), hn::And(state, hn::Set(d, 1u))));
    }
    if constexpr (kToWeights) {
      const auto power = hn::Mul(hn::LoadU(df, row.steps.powers + first + l), hn::Set(df, row.steps.octave));
      const auto weight = hn::Mul(hn::ConvertTo(df, level), hn::Mul(hn::Set(df, row.steps.base), power));
      const auto is_zero = hn::RebindMask(df, hn::Eq(level, hn::Zero(di)));  // where the step may be infinite
      hn::StoreU(hn::IfThenZeroElse(is_zero, weight), df, row.weights + first + l);
    }
  }
}

// A row of a block, or of two at once: their coders wait for memory at the same time.
template <bool kChained, bool kToWeights, bool kTwo>
bool decode_rows_of(const GroupDecoder& decoder, const RowOfBlock& row, const RowOfBlock& other, std::size_t groups) {
  HWY_ALIGN std::int32_t group_codes[coder_lanes];
  HWY_ALIGN std::int32_t other_codes[coder_lanes];
  const std::uint8_t* at = row.cursor->at;
  const std::uint8_t* other_at = kTwo ? other.cursor->at : nullptr;
  for (std::size_t g = 0; g < groups; ++g) {
    const std::size_t first = g * coder_lanes;
    if (!prepare_group(*row.cursor, at)) return false;
    std::int32_t* codes = kToWeights ? group_codes : row.codes + first;
    const bool extra = row.classes.has_extra_bits(g);
    const bool other_extra = kTwo && other.classes.has_extra_bits(g);
    if constexpr (kTwo) {
      if (!prepare_group(*other.cursor, other_at)) return false;
    }
    for (std::size_t l = 0; l < coder_lanes; l += hn::Lanes(U32())) {
      take_symbols<kChained>(decoder, row, extra, first + l, l, at, codes);
      if constexpr (kTwo) take_symbols<kChained>(decoder, other, other_extra, first + l, l, other_at, other_codes);
    }
    finish_group<kChained, kToWeights>(decoder, row, extra, first, at, codes);
    if constexpr (kTwo) finish_group<kChained, true>(decoder, other, other_extra, first, other_at, other_codes);
  }
  row.cursor->at = at;
  if constexpr (kTwo) other.cursor->at = other_at;
  return true;
}

bool decode_codes_vector(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t groups) {
  const auto decode =
      decoder.trellis.memory() > 0 ? decode_rows_of<true, false, false> : decode_rows_of<false, false, false>;
  return decode(decoder, row, row, groups);
}

bool decode_weights_vector(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t groups) {
  const auto decode =
      decoder.trellis.memory() > 0 ? decode_rows_of<true, true, false> : decode_rows_of<false, true, false>;
  return decode(decoder, row, row, groups);
}

bool decode_two_vector(const GroupDecoder& decoder, const RowOfBlock& row, const RowOfBlock& other,
                       std::size_t groups) {
  const auto decode =
      decoder.trellis.memory() > 0 ? decode_rows_of<true, true, true> : decode_rows_of<false, true, true>;
  return decode(decoder, row, other, groups);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(decode_codes_vector);
HWY_EXPORT(decode_weights_vector);
HWY_EXPORT(decode_two_vector);

bool decode_codes_of_row(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t groups) {
  return HWY_DYNAMIC_DISPATCH(decode_codes_vector)(decoder, row, groups);
}

bool decode_weights_of_row(const GroupDecoder& decoder, const RowOfBlock& row, std::size_t groups) {
  return HWY_DYNAMIC_DISPATCH(decode_weights_vector)(decoder, row, groups);
}

bool decode_weights_of_rows(const GroupDecoder& decoder, const RowOfBlock& row, const RowOfBlock& other,
                            std::size_t groups) {
  return HWY_DYNAMIC_DISPATCH(decode_two_vector)(decoder, row, other, groups);
}

}  // namespace lcomp
#endif
