// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "finite.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "finite.h"

#include <cmath>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

bool all_finite_vector(const float* values, std::size_t size) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto zero = hn::Zero(d);
  auto sum = zero;  // 0 * v is 0, or NaN when v is not finite
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) sum = hn::MulAdd(hn::LoadU(d, values + i), zero, sum);
  bool finite = !std::isnan(hn::GetLane(hn::SumOfLanes(d, sum)));
  for (; i < size; ++i) finite = finite && std::isfinite(values[i]);
  return finite;
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(all_finite_vector);

bool all_finite(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(all_finite_vector)(values.data(), values.size());
}

}  // namespace lcomp
#endif
