// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantizers/uniform/grid_kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "quantizers/uniform/grid_kernels.h"

#include <algorithm>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t kSumLanes = 16;

// A zero point as an integer and the rest, which is 0 for most.
struct SplitZeroPoint {
  explicit SplitZeroPoint(float zero_point) : whole(std::nearbyint(zero_point)), rest(zero_point - whole) {}
  float whole, rest;
};

template <class D, class V>
HWY_INLINE V rounded(D d, V w, V scale, V whole, V rest, V highest) {
  return hn::Min(hn::Max(hn::Add(hn::Round(hn::Add(hn::Div(w, scale), rest)), whole), hn::Zero(d)), highest);
}

HWY_INLINE float rounded(float w, float scale, const SplitZeroPoint& zero_point, float highest) {
  return std::clamp(std::nearbyint(w / scale + zero_point.rest) + zero_point.whole, 0.0f, highest);
}

void round_codes_vector(const float* weights, std::size_t size, float scale, float zero_point, float highest,
                        std::uint8_t* codes) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<std::uint8_t, decltype(d)> d8;
  const hn::RebindToSigned<decltype(d)> di;
  const std::size_t lanes = hn::Lanes(d);
  const auto scales = hn::Set(d, scale);
  const SplitZeroPoint split(zero_point);
  const auto whole = hn::Set(d, split.whole);
  const auto rest = hn::Set(d, split.rest);
  const auto most = hn::Set(d, highest);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto code = rounded(d, hn::LoadU(d, weights + i), scales, whole, rest, most);
    hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(di, code)), d8, codes + i);
  }
  for (; i < size; ++i) {
    codes[i] = static_cast<std::uint8_t>(rounded(weights[i], scale, split, highest));
  }
}

float rounding_error_vector(const float* weights, const float* column_weights, std::size_t size, float scale,
                            float zero_point, float highest) {
  const hn::CappedTag<float, kSumLanes> d;
  const auto scales = hn::Set(d, scale);
  const auto zeros = hn::Set(d, zero_point);
  const auto most = hn::Set(d, highest);
  const SplitZeroPoint split(zero_point);
  const auto integers = hn::Set(d, split.whole);
  const auto rests = hn::Set(d, split.rest);
  const std::size_t whole = size / kSumLanes * kSumLanes;
  HWY_ALIGN float sums[kSumLanes];
  for (std::size_t lane = 0; lane < kSumLanes; lane += hn::Lanes(d)) {
    auto sum = hn::Zero(d);
    for (std::size_t i = lane; i < whole; i += kSumLanes) {
      const auto w = hn::LoadU(d, weights + i);
      const auto decoded = hn::Mul(hn::Sub(rounded(d, w, scales, integers, rests, most), zeros), scales);
      const auto error = hn::Sub(w, decoded);
      auto square = hn::Mul(error, error);
      if (column_weights != nullptr) square = hn::Mul(square, hn::LoadU(d, column_weights + i));
      sum = hn::Add(sum, square);
    }
    hn::Store(sum, d, sums + lane);
  }
  for (std::size_t i = whole; i < size; ++i) {
    const float code = rounded(weights[i], scale, split, highest);
    const float error = weights[i] - scale * (code - zero_point);
    sums[i - whole] += error * error * (column_weights != nullptr ? column_weights[i] : 1.0f);
  }
  for (std::size_t half = kSumLanes / 2; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(round_codes_vector);
HWY_EXPORT(rounding_error_vector);

void round_codes(const float* weights, std::size_t size, float scale, float zero_point, float highest,
                 std::uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(round_codes_vector)(weights, size, scale, zero_point, highest, codes);
}

float rounding_error(const float* weights, const float* column_weights, std::size_t size, float scale, float zero_point,
                     float highest) {
  return HWY_DYNAMIC_DISPATCH(rounding_error_vector)(weights, column_weights, size, scale, zero_point, highest);
}

}  // namespace lcomp
#endif
