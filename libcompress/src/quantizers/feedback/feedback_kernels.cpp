// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantizers/feedback/feedback_kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "quantizers/feedback/feedback_kernels.h"

#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;

void add_scaled_vector(const float* weights, const float* sums, float factor, std::size_t rows, float* out) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  const auto factors = hn::Set(d, factor);
  std::size_t r = 0;
  for (; r + lanes <= rows; r += lanes) {
    hn::StoreU(hn::MulAdd(hn::LoadU(d, sums + r), factors, hn::LoadU(d, weights + r)), d, out + r);
  }
  const hn::CappedTag<float, 1> d1;
  for (; r < rows; ++r) {
    hn::StoreU(hn::MulAdd(hn::LoadU(d1, sums + r), hn::Set(d1, factor), hn::LoadU(d1, weights + r)), d1, out + r);
  }
}

bool subtract_vector(const float* weights, const float* decoded, std::size_t rows, float* errors) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  auto not_finite = hn::Zero(d);  // 0 * e is NaN for NaN and infinity, and stays
  std::size_t r = 0;
  for (; r + lanes <= rows; r += lanes) {
    const auto error = hn::Sub(hn::LoadU(d, weights + r), hn::LoadU(d, decoded + r));
    not_finite = hn::MulAdd(error, hn::Zero(d), not_finite);
    hn::StoreU(error, d, errors + r);
  }
  bool finite = hn::AllTrue(d, hn::Eq(not_finite, not_finite));
  for (; r < rows; ++r) {
    errors[r] = weights[r] - decoded[r];
    finite = finite && std::isfinite(errors[r]);
  }
  return finite;
}

// kVectors vectors of each column's sums stay in registers while the errors pass by.
template <std::size_t kVectors, class D>
HWY_INLINE void push_to_rows(D d, const float* errors, std::size_t count, const float* root, std::size_t root_stride,
                             std::size_t columns, std::size_t stride, float* sums) {
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t c = 0; c < columns; ++c) {
    float* sum = sums + c * stride;
    auto s0 = hn::LoadU(d, sum);
    auto s1 = kVectors > 1 ? hn::LoadU(d, sum + lanes) : s0;
    auto s2 = kVectors > 2 ? hn::LoadU(d, sum + 2 * lanes) : s0;
    auto s3 = kVectors > 3 ? hn::LoadU(d, sum + 3 * lanes) : s0;
    for (std::size_t i = 0; i < count; ++i) {
      const auto factor = hn::Set(d, root[i * root_stride + c]);
      const float* error = errors + i * stride;
      s0 = hn::MulAdd(hn::LoadU(d, error), factor, s0);
      if (kVectors > 1) s1 = hn::MulAdd(hn::LoadU(d, error + lanes), factor, s1);
      if (kVectors > 2) s2 = hn::MulAdd(hn::LoadU(d, error + 2 * lanes), factor, s2);
      if (kVectors > 3) s3 = hn::MulAdd(hn::LoadU(d, error + 3 * lanes), factor, s3);
    }
    hn::StoreU(s0, d, sum);
    if (kVectors > 1) hn::StoreU(s1, d, sum + lanes);
    if (kVectors > 2) hn::StoreU(s2, d, sum + 2 * lanes);
    if (kVectors > 3) hn::StoreU(s3, d, sum + 3 * lanes);
  }
}

void push_errors_vector(const float* errors, std::size_t count, const float* root, std::size_t root_stride,
                        std::size_t columns, std::size_t rows, std::size_t stride, float* sums) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t r = 0;
  for (; r + 4 * lanes <= rows; r += 4 * lanes) {
    push_to_rows<4>(d, errors + r, count, root, root_stride, columns, stride, sums + r);
  }
  for (; r + lanes <= rows; r += lanes) {
    push_to_rows<1>(d, errors + r, count, root, root_stride, columns, stride, sums + r);
  }
  const hn::CappedTag<float, 1> d1;
  for (; r < rows; ++r) {
    push_to_rows<1>(d1, errors + r, count, root, root_stride, columns, stride, sums + r);
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(add_scaled_vector);
HWY_EXPORT(subtract_vector);
HWY_EXPORT(push_errors_vector);

void add_scaled(const float* weights, const float* sums, float factor, std::size_t rows, float* out) {
  HWY_DYNAMIC_DISPATCH(add_scaled_vector)(weights, sums, factor, rows, out);
}

bool subtract(const float* weights, const float* decoded, std::size_t rows, float* errors) {
  return HWY_DYNAMIC_DISPATCH(subtract_vector)(weights, decoded, rows, errors);
}

void push_errors(const float* errors, std::size_t count, const float* root, std::size_t root_stride,
                 std::size_t columns, std::size_t rows, std::size_t stride, float* sums) {
  HWY_DYNAMIC_DISPATCH(push_errors_vector)(errors, count, root, root_stride, columns, rows, stride, sums);
}

}  // namespace lcomp
#endif
