#include "lcomp/allocators/rate_budget.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include <fmt/format.h>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

constexpr double last_tolerance = 0.0008;  // of the budget, for the component that ends it
constexpr double bits_tolerance = 0.004;   // of a component's own bytes, where each has to have the same bits
constexpr double surprising = 0.01;        // a component whose bytes are this far from expected is done again
constexpr double weight_of_latest = 0.5;   // in the running ratio of true to expected bits
constexpr double least_bytes = 64;         // of codes, for a ratio that says anything

}  // namespace

RateBudget::RateBudget(AllocationPolicy::Across across, std::uint64_t budget,
                       std::vector<RateBudgetComponent> components)
    : across_(across),
      budget_(static_cast<double>(budget)),
      left_(budget),
      components_(std::move(components)),
      done_(components_.size(), false),
      open_(components_.size()) {
  double least = 0;
  double most = 0;
  for (const RateBudgetComponent& c : components_) {
    weights_left_ += c.weights;
    const auto weights = static_cast<double>(c.weights);
    const auto side = static_cast<double>(c.side_bytes);
    least += std::max(side, c.min_bits * weights / 8);
    most += std::min(side + 2 * weights, c.max_bits * weights / 8);
  }
  const auto available = static_cast<double>(budget);
  if (available < least) {
    throw Error({"target size", fmt::format("{} bytes for the components of open precision", budget),
                 fmt::format("at least about {:.0f} bytes for them", least), "lower min_bits, or a larger target"});
  }
  if (available > most) {
    throw Error({"target size", fmt::format("{} bytes for the components of open precision", budget),
                 fmt::format("at most about {:.0f} bytes for them", most), "raise max_bits, or a smaller target"});
  }
}

double RateBudget::correction(std::size_t index) const {
  if (ratios_.empty()) return 1;
  const auto own = ratios_.find(components_[index].kind);
  return own != ratios_.end() ? own->second : ratios_.begin()->second;
}

double RateBudget::expected_bytes(std::size_t index, double precision) const {
  const RateBudgetComponent& c = components_[index];
  const auto weights = static_cast<double>(c.weights);
  const double bytes =
      static_cast<double>(c.side_bytes) + correction(index) * c.curve.bits(precision + c.precision_offset) / 8;
  return std::clamp(bytes, c.min_bits * weights / 8, std::max(c.min_bits, c.max_bits) * weights / 8);
}

double RateBudget::common_precision() const {
  double low = -RateCurve::widest_precision;
  double high = RateCurve::widest_precision;
  const auto available = static_cast<double>(left_);
  for (int i = 0; i < 50; ++i) {
    const double middle = 0.5 * (low + high);
    double bytes = 0;
    for (std::size_t k = 0; k < components_.size(); ++k) {
      if (!done_[k]) bytes += expected_bytes(k, middle);
    }
    (bytes < available ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

SizeOrder RateBudget::order(std::size_t index) const {
  assert(!done_[index]);
  const RateBudgetComponent& c = components_[index];
  const auto weights = static_cast<double>(c.weights);
  const auto available = static_cast<double>(left_);
  SizeOrder order;
  if (open_ == 1) {
    order.bytes = static_cast<std::uint64_t>(std::min(available, std::max(c.min_bits, c.max_bits) * weights / 8));
    order.tolerance = std::clamp(last_tolerance * budget_ / std::max(available, 1.0), 1.0e-6, 0.5);
    return order;
  }
  if (across_ == AllocationPolicy::Across::equal) {
    const double share = available * weights / static_cast<double>(weights_left_);
    order.bytes = static_cast<std::uint64_t>(
        std::clamp(share, c.min_bits * weights / 8, std::max(c.min_bits, c.max_bits) * weights / 8));
    order.tolerance = bits_tolerance;
    return order;
  }
  const double precision = common_precision() + c.precision_offset;
  const double bits = 8 * expected_bytes(index, precision - c.precision_offset) / weights;
  if (bits >= c.max_bits || bits <= c.min_bits) {
    order.bytes = static_cast<std::uint64_t>(bits * weights / 8);
    order.tolerance = bits_tolerance;
  } else {
    order.precision = precision;
  }
  return order;
}

bool RateBudget::took(std::size_t index, std::uint64_t bytes, std::optional<double> precision, bool may_repeat) {
  const RateBudgetComponent& c = components_[index];
  const double expected = precision ? c.curve.bits(*precision) / 8 : 0;
  const double codes = static_cast<double>(bytes) - static_cast<double>(c.side_bytes);
  if (expected > least_bytes && codes > least_bytes) {
    const double found = std::clamp(codes / expected, 0.25, 4.0);
    const auto [ratio, is_first] = ratios_.try_emplace(c.kind, found);
    if (!is_first) ratio->second += weight_of_latest * (found - ratio->second);
    if (is_first && may_repeat && std::abs(found - 1) > surprising) return true;
  }
  done_[index] = true;
  --open_;
  weights_left_ -= c.weights;
  left_ -= std::min(left_, bytes);
  return false;
}

}  // namespace lcomp
