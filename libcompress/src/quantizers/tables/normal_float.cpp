#include "quantizers/tables/normal_float.h"

#include <cmath>

#include "lcomp/core/float16.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/quantizers/uniform/uniform_grid.h"
#include "quantizers/method_string.h"
#include "quantizers/tables/level_rounding.h"
#include "quantizers/tables/scaled_table_groups.h"

namespace lcomp {
namespace {

// Phi^-1(p) for 1/2 < p < 1, by bisection.
double normal_quantile(double p) {
  double low = 0;
  double high = 10;
  for (int step = 0; step < 80; ++step) {
    const double middle = (low + high) / 2;
    (1 - std::erfc(middle / std::sqrt(2.0)) / 2 < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

// `count` quantiles, from that of offset on down to that of 1/2, which is not included.
std::vector<double> positive_quantiles(double offset, std::size_t count) {
  std::vector<double> quantiles;
  for (std::size_t i = 0; i < count; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(count);
    quantiles.push_back(normal_quantile(offset + (0.5 - offset) * share));
  }
  return quantiles;
}

std::vector<float> stored_levels(int bits) {
  std::vector<float> levels = normal_float_levels(bits);
  for (float& level : levels) level = half_to_float(float_to_half(level));
  return levels;
}

TableFit fit_of(const NormalFloatOptions& options) { return options.bits == 1 ? TableFit::mse : options.fit; }

CompressedWeight round_weight(ConstMatrixView weight, const LayerKnowledge& knowledge,
                              const NormalFloatOptions& options, const std::string& component) {
  CodebookWeight out = make_codebook(layout_of(options, weight.rows(), weight.cols()), component);
  const LevelTable table = make_level_table(stored_levels(*options.bits));
  set_levels(out, 0, table.levels);
  ScaledTableGroups<CodebookWeight> groups(table, fit_of(options), options.scale_storage, options.feedback.enabled, out,
                                           component);
  const auto stored =
      round_to_levels(weight, knowledge, options.feedback, *options.bits, options.granularity, groups, component);
  if (out.permuted) set_permutation(out, stored);
  return out;
}

}  // namespace

std::vector<float> normal_float_levels(int bits) {
  if (bits == 1) return {-1, 1};
  const std::size_t half = std::size_t{1} << (bits - 1);
  const double count = static_cast<double>(2 * half);
  const double offset = 1 - (1 / (2 * count) + 1 / (2 * (count - 1))) / 2;
  const std::vector<double> positive = positive_quantiles(offset, half);
  const std::vector<double> negative = positive_quantiles(offset, half - 1);
  std::vector<float> levels;
  for (const double quantile : negative) levels.push_back(static_cast<float>(-quantile / positive[0]));
  levels.push_back(0);
  for (std::size_t i = half; i > 0; --i) levels.push_back(static_cast<float>(positive[i - 1] / positive[0]));
  return levels;
}

CodebookLayout layout_of(const NormalFloatOptions& options, std::size_t rows, std::size_t cols) {
  CodebookLayout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.bits = options.bits.value();
  layout.group_size = columns_per_group(options.granularity, cols);
  layout.scale_storage = options.scale_storage;
  layout.permuted = permutes_columns(options.feedback, options.granularity, cols);
  return layout;
}

NormalFloatQuantizer::NormalFloatQuantizer(const NormalFloatOptions& options) : options_(options) {
  check_levels(required_bits(options.bits, "nf"), options.granularity, "nf");
  check_feedback(options.feedback, "nf");
}

QuantizedWeight NormalFloatQuantizer::quantize(ConstMatrixView weight, const LayerStats& stats,
                                               const std::string& component) const {
  LayerKnowledge knowledge = learn_from_statistics(weight, stats, options_.feedback, "nf with feedback", component);
  return {round_weight(weight, knowledge, options_, component), std::move(knowledge.warnings)};
}

bool uses_statistics(const NormalFloatOptions& options) {
  return options.feedback.enabled || fit_of(options) == TableFit::mse;
}

QuantizedWeight NormalFloatQuantizer::quantize_without_statistics(ConstMatrixView weight,
                                                                  const std::string& component) const {
  require_finite(weight, component);
  return round_weight(weight, {}, options_, component);
}

std::optional<WeightLayout> NormalFloatQuantizer::layout(std::size_t rows, std::size_t cols) const {
  return layout_of(options_, rows, cols);
}

std::string NormalFloatQuantizer::name() const { return lcomp::name(options_); }

std::string name(const NormalFloatOptions& options) {
  MethodString text("nf");
  text.add_bits(options.bits).add("group", name(options.granularity));
  if (options.fit == TableFit::mse) text.add("grid", "mse");
  if (options.scale_storage != ScaleStorage::f16) text.add("scales", name(options.scale_storage));
  return text.add_feedback(options.feedback).text();
}

}  // namespace lcomp
