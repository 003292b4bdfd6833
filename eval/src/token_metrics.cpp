// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "token_metrics.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/eval/token_metrics.h"

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// sum_v exp(logits_v - maximum), in float64.
double sum_of_exponentials(const float* logits, std::size_t size, float maximum) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const std::size_t lanes = hn::Lanes(d);
  const auto top = hn::Set(d, static_cast<double>(maximum));
  auto sum = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    sum = hn::Add(sum, hn::Exp(d, hn::Sub(hn::PromoteTo(d, hn::LoadU(df, logits + i)), top)));
  }
  double total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < size; ++i) total += std::exp(static_cast<double>(logits[i]) - static_cast<double>(maximum));
  return total;
}

// With r = reference - its maximum, m = model - its maximum: sums[0] = sum exp(r), sums[1] = sum exp(m),
// sums[2] = sum exp(r) (r - m).
void divergence_sums(const float* reference, const float* model, std::size_t size, float reference_maximum,
                     float model_maximum, double* sums) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const std::size_t lanes = hn::Lanes(d);
  const auto reference_top = hn::Set(d, static_cast<double>(reference_maximum));
  const auto model_top = hn::Set(d, static_cast<double>(model_maximum));
  auto reference_sum = hn::Zero(d);
  auto model_sum = hn::Zero(d);
  auto cross_sum = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto r = hn::Sub(hn::PromoteTo(d, hn::LoadU(df, reference + i)), reference_top);
    const auto m = hn::Sub(hn::PromoteTo(d, hn::LoadU(df, model + i)), model_top);
    const auto weight = hn::Exp(d, r);
    reference_sum = hn::Add(reference_sum, weight);
    model_sum = hn::Add(model_sum, hn::Exp(d, m));
    cross_sum = hn::MulAdd(weight, hn::Sub(r, m), cross_sum);
  }
  sums[0] = hn::GetLane(hn::SumOfLanes(d, reference_sum));
  sums[1] = hn::GetLane(hn::SumOfLanes(d, model_sum));
  sums[2] = hn::GetLane(hn::SumOfLanes(d, cross_sum));
  for (; i < size; ++i) {
    const double r = static_cast<double>(reference[i]) - static_cast<double>(reference_maximum);
    const double m = static_cast<double>(model[i]) - static_cast<double>(model_maximum);
    const double weight = std::exp(r);
    sums[0] += weight;
    sums[1] += std::exp(m);
    sums[2] += weight * (r - m);
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(sum_of_exponentials);
HWY_EXPORT(divergence_sums);

double negative_log_likelihood(std::span<const float> logits, std::size_t target) {
  assert(target < logits.size());
  const float maximum = *std::max_element(logits.begin(), logits.end());
  const double sum = HWY_DYNAMIC_DISPATCH(sum_of_exponentials)(logits.data(), logits.size(), maximum);
  return std::log(sum) + (static_cast<double>(maximum) - static_cast<double>(logits[target]));
}

Divergence divergence(std::span<const float> reference, std::span<const float> model) {
  assert(reference.size() == model.size() && !reference.empty());
  const auto reference_top = std::max_element(reference.begin(), reference.end());
  const auto model_top = std::max_element(model.begin(), model.end());
  double sums[3];
  HWY_DYNAMIC_DISPATCH(divergence_sums)
  (reference.data(), model.data(), reference.size(), *reference_top, *model_top, sums);
  // log p_ref - log p_model = (r - log sums[0]) - (m - log sums[1]), averaged with weights exp(r) / sums[0].
  const double kl = sums[2] / sums[0] - std::log(sums[0]) + std::log(sums[1]);
  return {std::max(0.0, kl), reference_top - reference.begin() == model_top - model.begin()};
}

Distribution summarize(std::vector<double> values) {
  if (values.empty()) throw Error({"summary of tokens", "no scored token", "at least one", ""});
  std::sort(values.begin(), values.end());
  const auto quantile = [&values](double q) {
    const double at = q * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
  };
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {sum / static_cast<double>(values.size()), quantile(0.5), quantile(0.99), values.back()};
}

}  // namespace lcomp
#endif
