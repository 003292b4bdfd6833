#include "training/learned_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/group_scales.h"
#include "lcomp/formats/grouped_integer.h"
#include "training/training_kernels.h"

namespace lcomp {
namespace {

// Calls body(group, row, begin, end) for the columns of every group in each row; rows in parallel, a fixed number at a
// time.
template <typename Body>
void for_each_group(const GroupedIntegerLayout& layout, const Body& body) {
  parallel_for(
      0, layout.rows,
      [&](std::size_t row) {
        std::size_t group = first_group(layout, row);
        for (std::size_t begin = 0; begin < layout.cols; begin += layout.group_size, ++group) {
          body(group, row, begin, std::min(begin + layout.group_size, layout.cols));
        }
      },
      16);
}

// A value for each group: `finish` of the sum, or maximum, that `gather` makes of its weights' magnitudes.
template <typename Gather, typename Finish>
void reduce(const GroupedIntegerLayout& layout, ConstMatrixView weight, std::span<float> out, const Gather& gather,
            const Finish& finish) {
  std::vector<double> sums(layout.per_tensor ? layout.rows : out.size(), 0.0);
  for_each_group(layout, [&](std::size_t group, std::size_t row, std::size_t begin, std::size_t end) {
    double& sum = sums[layout.per_tensor ? row : group];
    for (std::size_t j = begin; j < end; ++j) sum = gather(sum, std::abs(static_cast<double>(weight(row, j))));
  });
  if (layout.per_tensor) {
    double all = 0;
    for (const double sum : sums) all = gather(all, sum);
    out[0] = static_cast<float>(finish(all, weight.size()));
    return;
  }
  const std::size_t per_row = groups_per_row(layout);
  for (std::size_t g = 0; g < out.size(); ++g) {
    const std::size_t begin = g % per_row * layout.group_size;
    out[g] = static_cast<float>(finish(sums[g], std::min(layout.group_size, layout.cols - begin)));
  }
}

double zero_to_one(double step) { return step > 0 ? step : 1.0; }

}  // namespace

float largest_code(const GroupedIntegerLayout& layout) { return static_cast<float>((1 << (layout.bits - 1)) - 1); }

void absolute_maximum_steps(const GroupedIntegerLayout& layout, ConstMatrixView weight, std::span<float> steps) {
  const float largest = largest_code(layout);
  // In float32, as PyTorch divides.
  reduce(
      layout, weight, steps, [](double a, double b) { return std::max(a, b); },
      [&](double maximum, std::size_t) { return zero_to_one(static_cast<float>(maximum) / largest); });
}

void initial_steps(const GroupedIntegerLayout& layout, ConstMatrixView weight, std::span<float> steps) {
  const double root = std::sqrt(static_cast<double>(largest_code(layout)));
  reduce(
      layout, weight, steps, [](double a, double b) { return a + b; },
      [&](double sum, std::size_t n) { return zero_to_one(2 * sum / static_cast<double>(n) / root); });
}

void start_from(const GroupedIntegerView& start, double reach, MatrixView<float> weight, std::span<float> steps) {
  std::ranges::copy(decode_scales(start), steps.begin());
  for (float& step : steps) step = static_cast<float>(zero_to_one(step));
  std::vector<float> levels(start.rows * start.cols);
  decode_rows(start, 0, start.rows, levels);
  const auto within = static_cast<float>(reach);
  for_each_group(start, [&](std::size_t group, std::size_t row, std::size_t begin, std::size_t end) {
    const float step = steps[group];
    for (std::size_t j = begin; j < end; ++j) {
      const float level = levels[row * start.cols + j];
      weight(row, j) = std::clamp(weight(row, j), level - within * step, level + within * step);
    }
  });
}

GroupedIntegerWeight round_to_steps(const GroupedIntegerLayout& layout, ConstMatrixView weight,
                                    std::span<const float> steps, const std::string& component) {
  GroupedIntegerWeight rounded = make_grouped_integer(layout, component);
  const std::size_t per_row = groups_per_row(layout), scale_rows = layout.per_tensor ? 1 : layout.rows;
  for (const float step : steps) {
    if (std::isfinite(step)) continue;
    throw Error({component, "a step that is NaN or infinite", "finite steps", ""});
  }
  std::vector<float> stored(steps.size());
  for (std::size_t row = 0; row < scale_rows; ++row) {
    const std::span<float> of_row = std::span(stored).subspan(row * per_row, per_row);
    const std::span<const float> wanted = steps.subspan(row * per_row, per_row);
    const float row_scale = round_row_scale(std::max(*std::ranges::max_element(wanted), 0.0F));
    for (std::size_t g = 0; g < per_row; ++g) {
      const float positive = std::max(wanted[g], std::numeric_limits<float>::min());
      of_row[g] = round_scale(positive, layout.scale_storage, row_scale);
      if (std::isfinite(of_row[g])) continue;
      throw Error({component,
                   fmt::format("a step of {}, too large for {} scales", wanted[g], name(layout.scale_storage)), "",
                   "use f32 scales"});
    }
    set_scales(rounded, row, of_row, row_scale);
  }
  const float low = -largest_code(layout) - 1, high = largest_code(layout);
  parallel_for(
      0, layout.rows,
      [&](std::size_t row) {
        std::vector<std::uint8_t> codes(layout.cols);
        std::size_t group = first_group(layout, row);
        for (std::size_t begin = 0; begin < layout.cols; begin += layout.group_size, ++group) {
          const std::size_t end = std::min(begin + layout.group_size, layout.cols);
          codes_of_steps(weight.row(row).data() + begin, end - begin, stored[group], low, high, codes.data() + begin);
        }
        pack_row(rounded, row, codes);
      },
      16);
  return rounded;
}

void pass_back(const GroupedIntegerWeight& rounded, ConstMatrixView weight, bool clipped, MatrixView<float> gradient) {
  if (!clipped) return;
  const std::vector<float> steps = decode_scales(view(rounded));
  const float low = -largest_code(rounded) - 1, high = largest_code(rounded);
  for_each_group(rounded, [&](std::size_t group, std::size_t row, std::size_t begin, std::size_t end) {
    for (std::size_t j = begin; j < end; ++j) {
      const float code = std::nearbyint(weight(row, j) / steps[group]);
      if (code < low || code > high) gradient(row, j) = 0;
    }
  });
}

void pass_back_learned(const GroupedIntegerWeight& rounded, ConstMatrixView weight, MatrixView<float> gradient,
                       std::span<float> step_gradient) {
  const std::vector<float> steps = decode_scales(view(rounded));
  const float low = -largest_code(rounded) - 1, high = largest_code(rounded);
  std::vector<double> sums(rounded.per_tensor ? rounded.rows : steps.size(), 0.0);
  for_each_group(rounded, [&](std::size_t group, std::size_t row, std::size_t begin, std::size_t end) {
    sums[rounded.per_tensor ? row : group] = pass_back_to_step(
        weight.row(row).data() + begin, end - begin, steps[group], low, high, gradient.row(row).data() + begin);
  });
  if (rounded.per_tensor) {
    double all = 0;
    for (const double sum : sums) all += sum;
    sums.assign(1, all);
  }
  const std::size_t per_row = groups_per_row(rounded);
  for (std::size_t g = 0; g < sums.size(); ++g) {
    const std::size_t n = rounded.per_tensor
                              ? rounded.rows * rounded.cols
                              : std::min(rounded.group_size, rounded.cols - g % per_row * rounded.group_size);
    step_gradient[g] = static_cast<float>(sums[g] / std::sqrt(static_cast<double>(n) * static_cast<double>(high)));
  }
}

}  // namespace lcomp
