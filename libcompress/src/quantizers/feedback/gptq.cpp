#include "quantizers/feedback/gptq.h"

#include <numeric>
#include <utility>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/quantizers/feedback/hessian_factor.h"
#include "quantizers/feedback/error_feedback.h"
#include "quantizers/feedback/layer_knowledge.h"
#include "quantizers/method_string.h"
#include "quantizers/uniform/round_to_nearest.h"
#include "quantizers/uniform/uniform_rounder.h"

namespace lcomp {
namespace {

bool fits_on_the_way(const GptqOptions& options) {
  return options.granularity.kind == Granularity::Kind::group && !options.static_groups;
}

// Of each column's squared error, in the order of the groups; only a search for the best range needs them. The loss is
// the sum of R_jj^2 (w_j - w^_j)^2 over the weights as they are when they are rounded, so that these are R_jj^2: what
// an error costs after all that later columns can do about it. The diagonal of H, what it costs without them, is no
// better than equal weights: proxy errors 2 to 4 % higher at 3 and 4 bits, those of R_jj^2 2 to 3 % lower (SmolLM2,
// group 64).
std::vector<float> column_weights(const GptqOptions& options, const HessianFactor& factor) {
  const bool one_symmetric_bit = options.bits == 1 && options.symmetric;
  if (options.grid != GridFit::mse && !one_symmetric_bit) return {};
  std::vector<float> weights(factor.size());
  for (std::size_t j = 0; j < weights.size(); ++j) {
    weights[fits_on_the_way(options) ? j : factor.order[j]] = factor.root(j, j) * factor.root(j, j);
  }
  return weights;
}

}  // namespace

GroupedIntegerLayout layout_of(const GptqOptions& options, std::size_t rows, std::size_t cols) {
  GroupedIntegerLayout layout = layout_of(static_cast<const UniformOptions&>(options), rows, cols);
  layout.permuted = options.act_order && fits_on_the_way(options) && layout.group_size < cols;
  return layout;
}

GptqQuantizer::GptqQuantizer(const GptqOptions& options) : options_(options) {
  grid_setting(options, "gptq");
  if (options.granularity.kind == Granularity::Kind::tensor) {
    throw Error({"gptq", "one scale for the whole tensor", "groups of columns, or \"channel\"", ""});
  }
  check_compensation(options, "gptq");
}

QuantizedWeight GptqQuantizer::quantize(ConstMatrixView weight, const LayerStats& stats,
                                        const std::string& component) const {
  require_hessian(weight, stats, "gptq", component);
  require_finite(weight, component);
  GroupedIntegerWeight out = make_grouped_integer(layout_of(options_, weight.rows(), weight.cols()), component);
  const HessianFactor factor = factor_hessian(stats.hessian, {options_.damping, options_.act_order}, component);

  std::vector<float> zero_points(group_count(out));
  UniformRounding rounding;
  rounding.setting = grid_setting(options_, "gptq");
  rounding.fit_on_the_way = fits_on_the_way(options_);
  rounding.dead_are_zero = options_.granularity.kind == Granularity::Kind::group;  // as the reference code
  rounding.column_weights = column_weights(options_, factor);
  rounding.weight = weight;
  rounding.factor = &factor;
  rounding.out = &out;
  rounding.zero_points = zero_points;
  rounding.component = component;
  FeedbackOptions feedback;
  feedback.block_size = options_.block_size;
  feedback.group_size = rounding.fit_on_the_way ? out.group_size : 0;
  round_with_feedback(
      weight, factor, feedback,
      [&rounding](std::size_t first_row, std::size_t row_count) {
        return make_uniform_rounder(rounding, first_row, row_count);
      },
      component);
  set_zero_points(out, zero_points);
  if (out.permuted) set_permutation(out, factor.order);
  QuantizedWeight quantized(std::move(out));
  if (factor.warning) quantized.warnings.push_back(*factor.warning);
  return quantized;
}

QuantizedWeight GptqQuantizer::quantize_without_statistics(ConstMatrixView weight, const std::string& component) const {
  CompressedWeight rounded = RoundToNearest({options_}).quantize(weight, {}, component).weight;
  if (layout_of(options_, weight.rows(), weight.cols()).permuted) {
    std::vector<std::uint32_t> own_order(weight.cols());
    std::iota(own_order.begin(), own_order.end(), 0u);
    auto& grouped = std::get<GroupedIntegerWeight>(rounded);
    GroupedIntegerLayout layout = grouped;
    layout.permuted = true;
    GroupedIntegerWeight permuted = make_grouped_integer(layout, component);
    permuted.codes = std::move(grouped.codes);
    permuted.scales = std::move(grouped.scales);
    permuted.row_scales = std::move(grouped.row_scales);
    permuted.zeros = std::move(grouped.zeros);
    set_permutation(permuted, own_order);
    rounded = std::move(permuted);
  }
  return rounded;
}

std::optional<WeightLayout> GptqQuantizer::layout(std::size_t rows, std::size_t cols) const {
  return layout_of(options_, rows, cols);
}

std::string GptqQuantizer::name() const { return lcomp::name(options_); }

std::string name(const GptqOptions& options) {
  return MethodString("gptq").add_uniform(options).add_compensation(options).text();
}

}  // namespace lcomp
