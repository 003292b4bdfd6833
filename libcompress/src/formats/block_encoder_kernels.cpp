// Compiled once per instruction set by Highway's foreach_target. Every target computes the same integers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/block_encoder_kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "formats/block_encoder.h"
#include "formats/code_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void encode_groups_vector(const CodeTables& tables, BlockEncoder& encoder, const RowToEncode& row, std::size_t groups) {
  while (groups-- > 0) encode_group(tables, encoder, row, groups * coder_lanes, coder_lanes);
}

#else

// x, the lower halves of full lanes having become words.
template <class V, class M>
HWY_INLINE V put_words(U32 d, V x, M full, std::uint16_t*& at) {
  const hn::Rebind<std::uint16_t, U32> d16;
  const auto words = hn::BitCast(I32(), hn::Compress(hn::And(x, hn::Set(d, 0xffffu)), full));
  hn::StoreU(hn::DemoteTo(d16, words), d16, at);
  at += hn::CountTrue(d, full);
  return hn::IfThenElse(full, hn::ShiftRight<16>(x), x);
}

// The states after symbols: floor(x / frequency) * 2^12 + x mod frequency + begin.
// The quotient, of at most 20 bits, is that of floats or one beside it.
template <class V>
HWY_INLINE V put_symbols(U32 d, V x, V intervals, std::uint16_t*& at) {
  const I32 di;
  const F32 df;
  const auto mask = hn::Set(d, CodeTables::total - 1);
  const auto frequency = hn::BitCast(di, hn::And(hn::ShiftRight<12>(intervals), mask));
  constexpr int room = 32 - CodeTables::probability_bits;
  const auto fits = hn::Gt(frequency, hn::BitCast(di, hn::ShiftRight<room>(x)));
  x = put_words(d, x, hn::RebindMask(d, hn::Not(fits)), at);
  const auto half = hn::ConvertTo(df, hn::BitCast(di, hn::ShiftRight<1>(x)));  // conversions take signed integers
  const auto near = hn::Div(half, hn::ConvertTo(df, frequency));
  auto quotient = hn::ConvertTo(di, hn::Add(near, near));
  auto rest = hn::Sub(hn::BitCast(di, x), hn::Mul(quotient, frequency));
  const auto below = hn::Lt(rest, hn::Zero(di));
  quotient = hn::Add(quotient, hn::VecFromMask(di, below));
  rest = hn::Add(rest, hn::IfThenElseZero(below, frequency));
  const auto above = hn::Not(hn::Gt(frequency, rest));
  quotient = hn::Sub(quotient, hn::VecFromMask(di, above));
  rest = hn::Sub(rest, hn::IfThenElseZero(above, frequency));
  return hn::Add(hn::Add(hn::ShiftLeft<CodeTables::probability_bits>(hn::BitCast(d, quotient)), hn::BitCast(d, rest)),
                 hn::And(intervals, mask));
}

// The states after plain bits, 0 to 12 in each lane.
template <class V>
HWY_INLINE V put_bits(U32 d, V x, V count, V bits, std::uint16_t*& at) {
  const auto room = hn::Sub(hn::Set(d, 31u), count);
  x = put_words(d, x, hn::Ne(hn::ShiftRight<1>(hn::Shr(x, room)), hn::Zero(d)), at);
  return hn::Or(hn::Shl(x, count), bits);
}

void encode_groups_vector(const CodeTables& tables, BlockEncoder& encoder, const RowToEncode& row, std::size_t groups) {
  const U32 d;
  const I32 di;
  const hn::Rebind<std::uint8_t, U32> d8;
  const std::size_t lanes = hn::Lanes(d);
  const auto row_class = hn::Set(di, row.row_class);
  const auto smallest = hn::Set(di, CodeTables::smallest_class);
  const auto half_alphabet = hn::Set(di, CodeTables::half_alphabet);
  const auto escape = hn::Set(d, static_cast<std::uint32_t>(CodeTables::escape));
  const auto alphabet = hn::Set(d, static_cast<std::uint32_t>(CodeTables::alphabet));
  const auto* intervals = reinterpret_cast<const std::int32_t*>(tables.intervals.data());
  // Of the group, in the order of writing.
  HWY_ALIGN std::uint32_t interval[coder_lanes];
  HWY_ALIGN std::uint32_t extra_count[coder_lanes];
  HWY_ALIGN std::uint32_t extra_bits[coder_lanes];
  std::uint32_t* states = encoder.states.data();
  std::uint16_t* at = encoder.words.data() + encoder.size;

  while (groups-- > 0) {
    const std::size_t first = groups * coder_lanes;
    const bool has_extra_bits = row.row_class + row.largest_classes[groups] > CodeTables::largest_class;
    auto flags = hn::Zero(d);
    for (std::size_t l = 0; l < coder_lanes; l += lanes) {
      const std::size_t written = coder_lanes - lanes - l;
      const auto column_classes = hn::LoadU(di, row.column_classes + first + l);
      auto classes = hn::Max(hn::Add(row_class, column_classes), smallest);
      auto high = hn::LoadU(di, row.codes + first + l);
      if (has_extra_bits) {
        classes = clamped(di, classes);
        const auto extra = extra_bits_of(di, classes);
        const auto count = hn::BitCast(d, extra);
        classes = hn::Sub(classes, hn::ShiftLeft<2>(extra));
        const auto code = hn::BitCast(d, high);
        const auto low = hn::AndNot(hn::Shl(hn::Set(d, ~0u), count), code);
        high = hn::Shr(high, extra);
        hn::Store(hn::Reverse(d, count), d, extra_count + written);
        hn::Store(hn::Reverse(d, low), d, extra_bits + written);
      }
      const auto parity = hn::PromoteTo(d, hn::LoadU(d8, row.parities + first + l));
      const auto table = hn::Or(hn::ShiftLeft<1>(hn::BitCast(d, hn::Sub(classes, smallest))), parity);
      const auto symbol = hn::Min(hn::BitCast(d, hn::Add(high, half_alphabet)), escape);
      const auto index = hn::BitCast(di, hn::Add(hn::Mul(table, alphabet), symbol));
      const auto entry = hn::BitCast(d, hn::GatherIndex(di, intervals, index));
      flags = hn::Or(flags, entry);
      hn::Store(hn::Reverse(d, entry), d, interval + written);
    }
    // What is decoded last is encoded first.
    if (HWY_UNLIKELY(!hn::AllTrue(d, hn::Eq(hn::And(flags, hn::Set(d, CodeTables::escape_flag)), hn::Zero(d))))) {
      encoder.size = static_cast<std::size_t>(at - encoder.words.data());
      for (std::size_t k = 0; k < coder_lanes; ++k) {
        const std::size_t lane = coder_lanes - 1 - k;
        if ((interval[k] & CodeTables::escape_flag) != 0) put_escaped_code(encoder, lane, row.codes[first + lane]);
      }
      at = encoder.words.data() + encoder.size;
    }
    if (has_extra_bits) {
      for (std::size_t k = 0; k < coder_lanes; k += lanes) {
        const auto count = hn::Load(d, extra_count + k);
        hn::Store(put_bits(d, hn::Load(d, states + k), count, hn::Load(d, extra_bits + k), at), d, states + k);
      }
    }
    for (std::size_t k = 0; k < coder_lanes; k += lanes) {
      hn::Store(put_symbols(d, hn::Load(d, states + k), hn::Load(d, interval + k), at), d, states + k);
    }
  }
  encoder.size = static_cast<std::size_t>(at - encoder.words.data());
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(encode_groups_vector);

void encode_groups_of_row(const CodeTables& tables, BlockEncoder& encoder, const RowToEncode& row, std::size_t groups) {
  HWY_DYNAMIC_DISPATCH(encode_groups_vector)(tables, encoder, row, groups);
}

}  // namespace lcomp
#endif
