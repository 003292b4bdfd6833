// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/training_kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "training/training_kernels.h"

#include <algorithm>
#include <array>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void codes_of_steps_vector(const float* weight, std::size_t size, float step, float low, float high,
                           std::uint8_t* codes) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const std::size_t lanes = hn::Lanes(d);
  const auto of_step = hn::Set(d, step), lowest = hn::Set(d, low), highest = hn::Set(d, high);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto value = hn::Clamp(hn::Div(hn::LoadU(d, weight + i), of_step), lowest, highest);
    const auto code = hn::NearestInt(hn::Sub(hn::Round(value), lowest));
    hn::StoreU(hn::DemoteTo(bytes, code), bytes, codes + i);
  }
  for (; i < size; ++i) {
    codes[i] = static_cast<std::uint8_t>(std::nearbyint(std::clamp(weight[i] / step, low, high)) - low);
  }
}

double pass_back_to_step_vector(const float* weight, std::size_t size, float step, float low, float high,
                                float* gradient) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto of_step = hn::Set(d, step), lowest = hn::Set(d, low), highest = hn::Set(d, high);
  constexpr std::size_t piece = 256, sums = 4;
  std::array<float, piece> products;
  std::array<double, sums> sum{};
  for (std::size_t begin = 0; begin < size; begin += piece) {
    const std::size_t end = std::min(begin + piece, size);
    std::size_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      const auto value = hn::Div(hn::LoadU(d, weight + i), of_step), g = hn::LoadU(d, gradient + i);
      const auto outside = hn::Or(hn::Le(value, lowest), hn::Ge(value, highest));
      const auto along = hn::IfThenElse(outside, hn::Clamp(value, lowest, highest), hn::Sub(hn::Round(value), value));
      hn::StoreU(hn::Mul(g, along), d, products.data() + (i - begin));
      hn::StoreU(hn::IfThenZeroElse(outside, g), d, gradient + i);
    }
    for (; i < end; ++i) {
      const float value = weight[i] / step;
      const bool outside = value <= low || value >= high;
      products[i - begin] = gradient[i] * (outside ? std::clamp(value, low, high) : std::nearbyint(value) - value);
      if (outside) gradient[i] = 0;
    }
    for (std::size_t k = 0; k < end - begin; ++k) sum[k % sums] += products[k];
  }
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

void adamw_values_vector(const AdamWFactors& f, const float* gradient, std::size_t size, float* first_moment,
                         float* second_moment, float* parameters) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto scale = hn::Set(d, f.gradient_scale), beta1 = hn::Set(d, f.beta1), rest1 = hn::Set(d, f.rest1),
             beta2 = hn::Set(d, f.beta2), rest2 = hn::Set(d, f.rest2), decay = hn::Set(d, f.decay),
             rate = hn::Set(d, f.rate), root = hn::Set(d, f.root), epsilon = hn::Set(d, f.epsilon);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto g = hn::Mul(scale, hn::LoadU(d, gradient + i));
    const auto m = hn::Add(hn::Mul(beta1, hn::LoadU(d, first_moment + i)), hn::Mul(rest1, g));
    const auto v = hn::Add(hn::Mul(beta2, hn::LoadU(d, second_moment + i)), hn::Mul(hn::Mul(rest2, g), g));
    hn::StoreU(m, d, first_moment + i);
    hn::StoreU(v, d, second_moment + i);
    const auto update = hn::Div(hn::Mul(rate, m), hn::Add(hn::Mul(hn::Sqrt(v), root), epsilon));
    hn::StoreU(hn::Sub(hn::Mul(decay, hn::LoadU(d, parameters + i)), update), d, parameters + i);
  }
  for (; i < size; ++i) {
    const float g = f.gradient_scale * gradient[i];
    const float m = f.beta1 * first_moment[i] + f.rest1 * g, v = f.beta2 * second_moment[i] + f.rest2 * g * g;
    first_moment[i] = m;
    second_moment[i] = v;
    parameters[i] = f.decay * parameters[i] - f.rate * m / (std::sqrt(v) * f.root + f.epsilon);
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(codes_of_steps_vector);
HWY_EXPORT(pass_back_to_step_vector);
HWY_EXPORT(adamw_values_vector);

void codes_of_steps(const float* weight, std::size_t size, float step, float low, float high, std::uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(codes_of_steps_vector)(weight, size, step, low, high, codes);
}

double pass_back_to_step(const float* weight, std::size_t size, float step, float low, float high, float* gradient) {
  return HWY_DYNAMIC_DISPATCH(pass_back_to_step_vector)(weight, size, step, low, high, gradient);
}

void adamw_values(const AdamWFactors& factors, const float* gradient, std::size_t size, float* first_moment,
                  float* second_moment, float* parameters) {
  HWY_DYNAMIC_DISPATCH(adamw_values_vector)(factors, gradient, size, first_moment, second_moment, parameters);
}

}  // namespace lcomp
#endif
