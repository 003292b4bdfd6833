#include "quantizers/tables/logarithmic_quantizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/logarithmic.h"
#include "lcomp/quantizers/uniform/uniform_grid.h"
#include "quantizers/method_string.h"
#include "quantizers/tables/level_rounding.h"
#include "quantizers/tables/scaled_table_groups.h"

namespace lcomp {
namespace {

constexpr std::size_t most_sampled_groups = 128;
constexpr std::size_t most_sampled_stretches = 4096;  // weights or levels of all, whichever are fewer: what takes time
constexpr float square_root_of_2 = std::numbers::sqrt2_v<float>;

// Groups of a weight, evenly spread, to fit the base to.
std::vector<SortedWeights> sample_groups(ConstMatrixView weight, const std::vector<float>& column_weights,
                                         std::size_t group_size, std::size_t levels) {
  const std::size_t per_row = divide_up(weight.cols(), group_size);
  const std::size_t all = weight.rows() * per_row;
  const std::size_t count = std::min({all, most_sampled_groups, most_sampled_stretches / std::min(levels, group_size)});
  std::vector<SortedWeights> sample;
  for (std::size_t k = 0; k < count; ++k) {
    const std::size_t group = k * all / count;
    const std::size_t begin = group % per_row * group_size;
    const std::size_t size = std::min(group_size, weight.cols() - begin);
    const std::span<const float> costs(column_weights);
    sample.emplace_back(weight.row(group / per_row).subspan(begin, size),
                        costs.empty() ? costs : costs.subspan(begin, size));
  }
  return sample;
}

// The errors of some bases over the sample. logarithms: ln of ln of each, in which bases are evenly spread.
std::vector<double> errors_of_bases(const std::vector<double>& logarithms, const std::vector<SortedWeights>& sample,
                                    const LogarithmicOptions& options) {
  std::vector<LevelTable> tables;
  for (const double logarithm : logarithms) {
    const auto base = static_cast<float>(std::exp(std::exp(logarithm)));
    tables.push_back(make_level_table(logarithmic_levels(*options.bits, options.zero_level, base)));
  }
  std::vector<double> errors(tables.size() * sample.size());
  parallel_for(
      0, errors.size(),
      [&](std::size_t k) {
        const LevelTable& table = tables[k / sample.size()];
        const SortedWeights& weights = sample[k % sample.size()];
        errors[k] = table_error(weights, table, fit_table_scale(weights, table, TableFit::mse, {ScaleStorage::f32, 0}));
      },
      16);
  std::vector<double> sums(tables.size(), 0.0);
  for (std::size_t k = 0; k < errors.size(); ++k) sums[k / sample.size()] += errors[k];
  return sums;
}

float fit_base(const std::vector<SortedWeights>& sample, const LogarithmicOptions& options) {
  if (options.bits == 1) return 2;  // one magnitude
  const double low = std::log(std::log(1.01));
  const double high = std::log(std::log(static_cast<double>(largest_logarithm_base))) - 1e-6;  // stays below 4
  constexpr int starts = 17;
  double step = (high - low) / (starts - 1);
  double best = low;
  double least = std::numeric_limits<double>::infinity();
  const auto consider = [&](const std::vector<double>& logarithms) {
    const std::vector<double> errors = errors_of_bases(logarithms, sample, options);
    for (std::size_t k = 0; k < errors.size(); ++k) {
      if (!(errors[k] < least)) continue;
      least = errors[k];
      best = logarithms[k];
    }
  };
  std::vector<double> evenly(starts);
  for (int i = 0; i < starts; ++i) evenly[static_cast<std::size_t>(i)] = low + i * step;
  consider(evenly);
  for (int halving = 0; halving < 5; ++halving) {
    step /= 2;
    consider({std::max(low, best - step), std::min(high, best + step)});
  }
  return static_cast<float>(std::exp(std::exp(best)));
}

CompressedWeight round_weight(ConstMatrixView weight, const LayerKnowledge& knowledge,
                              const LogarithmicOptions& options, const std::string& component) {
  LogarithmicWeight out = make_logarithmic(layout_of(options, weight.rows(), weight.cols()), component);
  const std::size_t levels = std::size_t{1} << *options.bits;
  const float base = options.base
                         ? *options.base
                         : fit_base(sample_groups(weight, knowledge.column_weights, out.group_size, levels), options);
  set_base(out, base);
  const LevelTable table = make_level_table(logarithmic_levels(*options.bits, options.zero_level, base));
  ScaledTableGroups<LogarithmicWeight> groups(table, TableFit::mse, options.scale_storage, options.feedback.enabled,
                                              out, component);
  const auto stored =
      round_to_levels(weight, knowledge, options.feedback, *options.bits, options.granularity, groups, component);
  if (out.permuted) set_permutation(out, stored);
  return out;
}

}  // namespace

LogarithmicLayout layout_of(const LogarithmicOptions& options, std::size_t rows, std::size_t cols) {
  LogarithmicLayout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.bits = options.bits.value();
  layout.zero_level = options.zero_level;
  layout.group_size = columns_per_group(options.granularity, cols);
  layout.scale_storage = options.scale_storage;
  layout.permuted = permutes_columns(options.feedback, options.granularity, cols);
  return layout;
}

LogarithmicQuantizer::LogarithmicQuantizer(const LogarithmicOptions& options) : options_(options) {
  check_levels(required_bits(options.bits, "log"), options.granularity, "log");
  check_feedback(options.feedback, "log");
  if (options.base && !(*options.base > 1 && *options.base <= largest_logarithm_base)) {
    throw Error({"log", fmt::format("base {}", *options.base),
                 fmt::format("more than 1 and at most {}", largest_logarithm_base), ""});
  }
}

QuantizedWeight LogarithmicQuantizer::quantize(ConstMatrixView weight, const LayerStats& stats,
                                               const std::string& component) const {
  LayerKnowledge knowledge = learn_from_statistics(weight, stats, options_.feedback, "log with feedback", component);
  return {round_weight(weight, knowledge, options_, component), std::move(knowledge.warnings)};
}

QuantizedWeight LogarithmicQuantizer::quantize_without_statistics(ConstMatrixView weight,
                                                                  const std::string& component) const {
  require_finite(weight, component);
  return round_weight(weight, {}, options_, component);
}

std::optional<WeightLayout> LogarithmicQuantizer::layout(std::size_t rows, std::size_t cols) const {
  return layout_of(options_, rows, cols);
}

std::string LogarithmicQuantizer::name() const { return lcomp::name(options_); }

std::string name(const LogarithmicOptions& options) {
  MethodString text("log");
  text.add_bits(options.bits).add("group", name(options.granularity));
  if (!options.base) {
    text.add("base", "fit");
  } else if (*options.base == square_root_of_2) {
    text.add("base", "sqrt2");
  } else {
    text.add("base", fmt::format("{}", *options.base));
  }
  text.flag("zero", options.zero_level);
  if (options.scale_storage != ScaleStorage::f16) text.add("scales", name(options.scale_storage));
  return text.add_feedback(options.feedback).text();
}

}  // namespace lcomp
