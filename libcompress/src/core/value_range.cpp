// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/value_range.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "lcomp/core/value_range.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

ValueRange value_range_vector(const float* values, std::size_t size) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto low = hn::Zero(d);
  auto high = hn::Zero(d);
  auto not_finite = hn::Zero(d);  // 0 * v is NaN for NaN and infinity, and stays
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto v = hn::LoadU(d, values + i);
    low = hn::Min(low, v);
    high = hn::Max(high, v);
    not_finite = hn::Add(not_finite, hn::Mul(v, hn::Zero(d)));
  }
  ValueRange range{hn::GetLane(hn::MinOfLanes(d, low)), hn::GetLane(hn::MaxOfLanes(d, high)),
                   hn::AllTrue(d, hn::Eq(not_finite, not_finite))};
  for (; i < size; ++i) {
    range.low = std::min(range.low, values[i]);
    range.high = std::max(range.high, values[i]);
    range.finite = range.finite && std::isfinite(values[i]);
  }
  return range;
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(value_range_vector);

ValueRange value_range(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(value_range_vector)(values.data(), values.size());
}

}  // namespace lcomp
#endif
