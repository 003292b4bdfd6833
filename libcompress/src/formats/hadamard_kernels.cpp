// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/hadamard_kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "formats/hadamard_kernels.h"

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE void butterfly_of(D d, float* a, float* b, std::size_t size) {
  for (std::size_t i = 0; i < size; i += hn::Lanes(d)) {
    const auto x = hn::LoadU(d, a + i);
    const auto y = hn::LoadU(d, b + i);
    hn::StoreU(hn::Add(x, y), d, a + i);
    hn::StoreU(hn::Sub(x, y), d, b + i);
  }
}

void butterfly_vector(float* a, float* b, std::size_t size) {
  const hn::ScalableTag<float> d;
  const std::size_t whole = size - size % hn::Lanes(d);
  butterfly_of(d, a, b, whole);
  butterfly_of(hn::CappedTag<float, 1>(), a + whole, b + whole, size - whole);
}

// Distances 1 and 2 within vectors of at least four lanes: x + y for the first of a pair and, in the place of the
// second, x + (-y), which is x - y.
void first_two_stages(float* values, std::size_t size) {
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t distance = 1; distance <= 2; distance *= 2) {
    for (std::size_t i = 0; i < size; i += 2 * distance) {
      butterfly_vector(values + i, values + i + distance, distance);
    }
  }
#else
  const hn::CappedTag<float, 4> d;
  alignas(16) static constexpr float of_one[4] = {1, -1, 1, -1};
  alignas(16) static constexpr float of_two[4] = {1, 1, -1, -1};
  const auto signs_of_one = hn::Load(d, of_one);
  const auto signs_of_two = hn::Load(d, of_two);
  for (std::size_t i = 0; i < size; i += 4) {
    auto x = hn::LoadU(d, values + i);
    x = hn::Add(hn::Mul(x, signs_of_one), hn::Shuffle2301(x));
    x = hn::Add(hn::Mul(x, signs_of_two), hn::Shuffle1032(x));
    hn::StoreU(x, d, values + i);
  }
#endif
}

void walsh_hadamard_vector(float* values, std::size_t size) {
  std::size_t distance = 1;
  if (size >= 4) {
    first_two_stages(values, size);
    distance = 4;
  }
  for (; distance < size; distance *= 2) {
    for (std::size_t i = 0; i < size; i += 2 * distance) {
      float* a = values + i;
      float* b = a + distance;
      if (distance == 4) {
        butterfly_of(hn::CappedTag<float, 4>(), a, b, distance);
      } else if (distance == 8) {
        butterfly_of(hn::CappedTag<float, 8>(), a, b, distance);
      } else {
        butterfly_vector(a, b, distance);
      }
    }
  }
}

template <class D>
HWY_INLINE void signed_sum_of(D d, const float* in, std::size_t stride, const float* signs, std::size_t terms,
                              std::size_t size, float* out) {
  for (std::size_t i = 0; i < size; i += hn::Lanes(d)) {
    auto sum = hn::Mul(hn::Set(d, signs[0]), hn::LoadU(d, in + i));
    for (std::size_t k = 1; k < terms; ++k) {
      sum = hn::Add(sum, hn::Mul(hn::Set(d, signs[k]), hn::LoadU(d, in + k * stride + i)));
    }
    hn::StoreU(sum, d, out + i);
  }
}

void signed_sum_vector(const float* in, std::size_t stride, const float* signs, std::size_t terms, std::size_t size,
                       float* out) {
  const hn::ScalableTag<float> d;
  const std::size_t whole = size - size % hn::Lanes(d);
  signed_sum_of(d, in, stride, signs, terms, whole, out);
  signed_sum_of(hn::CappedTag<float, 1>(), in + whole, stride, signs, terms, size - whole, out + whole);
}

void scale_values_vector(float* values, std::size_t size, float factor) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto factors = hn::Set(d, factor);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, values + i), factors), d, values + i);
  for (; i < size; ++i) values[i] *= factor;
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(walsh_hadamard_vector);
HWY_EXPORT(butterfly_vector);
HWY_EXPORT(signed_sum_vector);
HWY_EXPORT(scale_values_vector);

void walsh_hadamard(float* values, std::size_t size) { HWY_DYNAMIC_DISPATCH(walsh_hadamard_vector)(values, size); }

void butterfly(float* a, float* b, std::size_t size) { HWY_DYNAMIC_DISPATCH(butterfly_vector)(a, b, size); }

void signed_sum(const float* in, std::size_t stride, const float* signs, std::size_t terms, std::size_t size,
                float* out) {
  HWY_DYNAMIC_DISPATCH(signed_sum_vector)(in, stride, signs, terms, size, out);
}

void scale_values(float* values, std::size_t size, float factor) {
  HWY_DYNAMIC_DISPATCH(scale_values_vector)(values, size, factor);
}

}  // namespace lcomp
#endif
