// The rules by which codes are written, for vectors of codes: what block_coder.h and trellis.h say of one. Included
// once per instruction set by files that Highway's foreach_target compiles.
#include <cstdint>

#include <hwy/highway.h>

#include "formats/code_distribution.h"
#include "lcomp/formats/trellis.h"

#if defined(LCOMP_CODE_VECTORS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LCOMP_CODE_VECTORS_INL_H
#undef LCOMP_CODE_VECTORS_INL_H
#else
#define LCOMP_CODE_VECTORS_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using U32 = hn::CappedTag<std::uint32_t, 16>;
using I32 = hn::RebindToSigned<U32>;
using F32 = hn::RebindToFloat<U32>;

// Trellis::next().
template <class V>
HWY_INLINE V next_states(U32 d, const Trellis& trellis, V states, V codes) {
  const auto one = hn::Set(d, 1u);
  const auto of_state = hn::And(hn::Sub(hn::Zero(d), hn::And(states, one)), hn::Set(d, trellis.parity_mask()));
  const auto of_code = hn::And(hn::Sub(hn::Zero(d), hn::And(codes, one)), hn::Set(d, trellis.input_mask()));
  return hn::Xor(hn::ShiftRight<1>(states), hn::Xor(of_state, of_code));
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

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // once per target
