#include "lcomp/calibration/input_statistics.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "channel_ranges.h"
#include "lcomp/core/error.h"
#include "lcomp/core/stage_times.h"

namespace lcomp {
namespace {

[[noreturn]] void refuse_first_not_finite(ConstMatrixView input, const std::function<std::string(std::size_t)>& where) {
  for (std::size_t i = 0; i < input.rows(); ++i) {
    const auto row = input.row(i);
    const auto at = std::ranges::find_if(row, [](float v) { return !std::isfinite(v); });
    if (at == row.end()) continue;
    throw Error(
        {where(i),
         fmt::format("{} in the linear's input, column {}", std::isnan(*at) ? "NaN" : "infinity", at - row.begin()),
         "finite activations", "check that the model's weights are sound; with bfloat16 products, try float32"});
  }
  throw Error({where(0), "activations whose sum overflows", "finite activations", ""});
}

}  // namespace

LayerStats InputStatistics::view() const {
  LayerStats stats;
  stats.hessian = hessian.view();
  stats.tokens = tokens;
  stats.mean = mean;
  stats.absolute_maximum = absolute_maximum;
  if (!histogram.empty()) stats.histogram = &histogram;
  return stats;
}

std::shared_ptr<const LayerStats> shared_view(std::shared_ptr<const InputStatistics> statistics) {
  struct Held {
    std::shared_ptr<const InputStatistics> statistics;
    LayerStats view;
  };
  if (statistics->tokens == 0) return nullptr;
  const auto held = std::make_shared<Held>();
  held->view = statistics->view();
  held->statistics = std::move(statistics);
  return {held, &held->view};
}

InputAccumulator::InputAccumulator(std::size_t in_features)
    : hessian_(in_features), sums_(in_features, 0.0), absolute_maximum_(in_features, 0.0F) {}

std::size_t InputAccumulator::memory(std::size_t in_features) {
  return HessianAccumulator::memory(in_features) + in_features * (sizeof(double) + sizeof(float)) +
         InputHistogram::memory();
}

void InputAccumulator::add(ConstMatrixView input, const std::function<std::string(std::size_t row)>& where) {
  const StageTimer timer("statistics");
  assert(input.cols() == in_features());
  add_channel_ranges(input, sums_, absolute_maximum_);
  if (!std::ranges::all_of(sums_, [](double v) { return std::isfinite(v); })) refuse_first_not_finite(input, where);
  hessian_.add(input);
  histogram_.add(input);
}

std::vector<float> InputAccumulator::mean() const {
  std::vector<float> mean(in_features(), 0.0F);
  if (tokens() == 0) return mean;
  for (std::size_t j = 0; j < mean.size(); ++j) {
    mean[j] = static_cast<float>(sums_[j] / static_cast<double>(tokens()));
  }
  return mean;
}

InputStatistics InputAccumulator::statistics(std::vector<std::string> components) {
  AlignedBuffer<float> triangle(HessianAccumulator::triangle_size(in_features()));
  hessian_.lower_triangle(triangle.span());
  require_finite_hessian(triangle.span(), components);
  InputStatistics statistics;
  statistics.components = std::move(components);
  statistics.tokens = tokens();
  statistics.hessian = symmetric_matrix(triangle.span(), in_features());
  statistics.mean = mean();
  statistics.absolute_maximum = absolute_maximum_;
  statistics.histogram = histogram_;
  return statistics;
}

void require_finite_hessian(std::span<const float> lower_triangle, std::span<const std::string> components) {
  if (std::ranges::all_of(lower_triangle, [](float v) { return std::isfinite(v); })) return;
  throw Error({fmt::format("{}", fmt::join(components, ", ")),
               "activations so large that their squares exceed what a 32-bit float holds",
               "activations below about 1e16", "check that the model's weights are sound"});
}

}  // namespace lcomp
