// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "forward/rope.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "forward/rope.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void rotate_head(const float* cosines, const float* sines, float* low, float* high, std::size_t half) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const auto c = hn::LoadU(d, cosines + i);
    const auto s = hn::LoadU(d, sines + i);
    const auto a = hn::LoadU(d, low + i);
    const auto b = hn::LoadU(d, high + i);
    hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, low + i);
    hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, high + i);
  }
  for (; i < half; ++i) {
    const float a = low[i], b = high[i];
    low[i] = a * cosines[i] - b * sines[i];
    high[i] = b * cosines[i] + a * sines[i];
  }
}

void rotate_head_back(const float* cosines, const float* sines, float* low, float* high, std::size_t half) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const auto c = hn::LoadU(d, cosines + i);
    const auto s = hn::LoadU(d, sines + i);
    const auto a = hn::LoadU(d, low + i);
    const auto b = hn::LoadU(d, high + i);
    hn::StoreU(hn::MulAdd(b, s, hn::Mul(a, c)), d, low + i);
    hn::StoreU(hn::NegMulAdd(a, s, hn::Mul(b, c)), d, high + i);
  }
  for (; i < half; ++i) {
    const float a = low[i], b = high[i];
    low[i] = a * cosines[i] + b * sines[i];
    high[i] = b * cosines[i] - a * sines[i];
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(rotate_head);
HWY_EXPORT(rotate_head_back);

std::vector<float> rope_frequencies(const RopeConfig& config, bool long_sequence) {
  const std::size_t half = config.rotary_dim / 2;
  std::vector<float> frequencies(half);
  for (std::size_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.rotary_dim);
    double power = static_cast<float>(std::pow(config.theta, static_cast<double>(exponent)));
    if (config.scaling == RopeScaling::longrope) {
      const auto& factors = long_sequence ? config.long_factors : config.short_factors;
      power = static_cast<float>(power * static_cast<float>(factors.at(i)));
    }
    double frequency = static_cast<float>(1.0 / power);
    if (config.scaling == RopeScaling::linear) frequency /= config.factor;
    if (config.scaling == RopeScaling::llama3) {
      const double wavelength = 2 * std::numbers::pi / frequency;
      const auto original = static_cast<double>(config.original_positions);
      const double turns = original / wavelength;  // over the original context
      if (turns < config.low_freq_factor) {
        frequency /= config.factor;
      } else if (turns <= config.high_freq_factor) {
        const double smooth = (turns - config.low_freq_factor) / (config.high_freq_factor - config.low_freq_factor);
        frequency = (1 - smooth) * frequency / config.factor + smooth * frequency;
      }
    }
    frequencies[i] = static_cast<float>(frequency);
  }
  return frequencies;
}

RopeTable::RopeTable(const RopeConfig& config, bool long_sequence)
    : frequencies_(rope_frequencies(config, long_sequence)), factor_(static_cast<float>(config.attention_factor)) {}

void RopeTable::extend(std::size_t positions) {
  const std::size_t half = frequencies_.size();
  if (half == 0) return;
  const std::size_t known = table_.size() / (2 * half);
  if (positions <= known) return;
  table_.resize(2 * half * std::max(positions, known + known / 2));
  for (std::size_t p = known; p < table_.size() / (2 * half); ++p) {
    float* row = table_.data() + p * 2 * half;
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<float>(p) * frequencies_[i];
      row[i] = static_cast<float>(std::cos(angle)) * factor_;
      row[half + i] = static_cast<float>(std::sin(angle)) * factor_;
    }
  }
}

void RopeTable::rotate(std::size_t position, float* head) const {
  const std::size_t half = frequencies_.size();
  assert((position + 1) * 2 * half <= table_.size());
  const float* row = table_.data() + position * 2 * half;
  HWY_DYNAMIC_DISPATCH(rotate_head)(row, row + half, head, head + half, half);
}

void RopeTable::rotate_back(std::size_t position, float* head_gradient) const {
  const std::size_t half = frequencies_.size();
  assert((position + 1) * 2 * half <= table_.size());
  const float* row = table_.data() + position * 2 * half;
  HWY_DYNAMIC_DISPATCH(rotate_head_back)(row, row + half, head_gradient, head_gradient + half, half);
}

}  // namespace lcomp
#endif
