// Compiled once per instruction set by Highway's foreach_target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "forward/row_softmax.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "forward/row_softmax.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Highway's Exp makes 0 of NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exponential(D d, V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, x));
}

void exponentials_of_row(float* values, std::size_t size, float* maximum, double* sum) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto highest = hn::Set(d, -std::numeric_limits<float>::infinity());
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) highest = hn::Max(highest, hn::LoadU(d, values + i));
  *maximum = hn::GetLane(hn::MaxOfLanes(d, highest));
  for (; i < size; ++i) *maximum = std::max(*maximum, values[i]);
  const auto shift = hn::Set(d, *maximum);
  for (i = 0; i + lanes <= size; i += lanes) {
    hn::StoreU(exponential(d, hn::Sub(hn::LoadU(d, values + i), shift)), d, values + i);
  }
  const hn::CappedTag<float, 1> d1;
  for (; i < size; ++i) values[i] = hn::GetLane(exponential(d1, hn::Set(d1, values[i] - *maximum)));

  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, decltype(dd)> df;
  const std::size_t step = hn::Lanes(dd);
  auto even = hn::Zero(dd), odd = hn::Zero(dd);
  for (i = 0; i + 2 * step <= size; i += 2 * step) {
    even = hn::Add(even, hn::PromoteTo(dd, hn::LoadU(df, values + i)));
    odd = hn::Add(odd, hn::PromoteTo(dd, hn::LoadU(df, values + i + step)));
  }
  *sum = hn::GetLane(hn::SumOfLanes(dd, hn::Add(even, odd)));
  for (; i < size; ++i) *sum += static_cast<double>(values[i]);
}

void scaled_row(float* values, std::size_t size, float factor) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto by = hn::Set(d, factor);
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, values + i), by), d, values + i);
  for (; i < size; ++i) values[i] *= factor;
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(exponentials_of_row);
HWY_EXPORT(scaled_row);

RowExponentials exponentiate_row(std::span<float> values) {
  RowExponentials found;
  HWY_DYNAMIC_DISPATCH(exponentials_of_row)(values.data(), values.size(), &found.maximum, &found.sum);
  return found;
}

void scale_row(std::span<float> values, float factor) {
  HWY_DYNAMIC_DISPATCH(scaled_row)(values.data(), values.size(), factor);
}

double sum_over_rows(std::size_t rows, const std::function<double(std::size_t)>& row_cost) {
  std::vector<double> costs(rows);
  parallel_for(0, rows, [&](std::size_t i) { costs[i] = row_cost(i); });
  double sum = 0;
  for (const double cost : costs) sum += cost;
  return sum;
}

void check_cost_id(std::int32_t id, std::size_t vocabulary) {
  if (id >= 0 && static_cast<std::size_t>(id) < vocabulary) return;
  throw Error({"cost", "token id " + std::to_string(id), "an id below " + std::to_string(vocabulary),
               "check that the tokenizer belongs to the model"});
}

}  // namespace lcomp
#endif
