// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantizers/uniform/uniform_column_kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "quantizers/uniform/uniform_column_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One vector of rows.
template <class D>
HWY_INLINE void round_rows(D d, const float* values, const float* scales, const float* zero_points, float highest,
                           bool signs, std::uint8_t* codes, float* decoded) {
  const hn::Rebind<std::uint8_t, D> d8;
  const hn::RebindToSigned<D> di;
  const auto value = hn::LoadU(d, values);
  const auto scale = hn::LoadU(d, scales);
  const auto zero_point = hn::LoadU(d, zero_points);
  const auto zero = hn::Zero(d);
  auto code = zero;
  if (signs) {
    code = hn::IfThenElseZero(hn::Gt(value, zero), hn::Set(d, 1.0f));
  } else {
    const auto quotient = hn::IfThenZeroElse(hn::Eq(scale, zero), hn::Div(value, scale));
    const auto whole = hn::Round(zero_point);
    const auto rest = hn::Sub(zero_point, whole);
    code = hn::Min(hn::Max(hn::Add(hn::Round(hn::Add(quotient, rest)), whole), zero), hn::Set(d, highest));
  }
  hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(di, code)), d8, codes);
  hn::StoreU(hn::Mul(scale, hn::Sub(code, zero_point)), d, decoded);
}

void round_column_vector(const float* values, const float* scales, const float* zero_points, float highest, bool signs,
                         std::size_t rows, std::uint8_t* codes, float* decoded) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t r = 0;
  for (; r + lanes <= rows; r += lanes) {
    round_rows(d, values + r, scales + r, zero_points + r, highest, signs, codes + r, decoded + r);
  }
  const hn::CappedTag<float, 1> d1;
  for (; r < rows; ++r) {
    round_rows(d1, values + r, scales + r, zero_points + r, highest, signs, codes + r, decoded + r);
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(round_column_vector);

void round_column(const float* values, const float* scales, const float* zero_points, float highest, bool signs,
                  std::size_t rows, std::uint8_t* codes, float* decoded) {
  HWY_DYNAMIC_DISPATCH(round_column_vector)(values, scales, zero_points, highest, signs, rows, codes, decoded);
}

}  // namespace lcomp
#endif
