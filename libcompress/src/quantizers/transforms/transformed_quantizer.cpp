#include "quantizers/transforms/transformed_quantizer.h"

#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/transformed_weight.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "lcomp/quantizers/uniform/uniform_grid.h"
#include "quantizers/method_string.h"

namespace lcomp {
namespace {

LayerTransform rotation_of(const TransformOptions& options, std::size_t rows, std::size_t cols) {
  return options.rotate ? make_rotation(*options.rotate, rows, cols) : LayerTransform{};
}

std::string text_of(const RotationOptions& options) {
  const RotationOptions defaults;
  MethodString text("rotate");
  if (options.block != 0) text.add("block", static_cast<std::int64_t>(options.block));
  text.flag("outputs", options.outputs);
  if (options.output_block != defaults.output_block) {
    text.add("output_block", static_cast<std::int64_t>(options.output_block));
  }
  text.flag("paley", options.paley);
  if (options.seed != defaults.seed) text.add("seed", static_cast<std::int64_t>(options.seed));
  return text.text();
}

}  // namespace

TransformedQuantizer::TransformedQuantizer(const TransformOptions& options, std::unique_ptr<Quantizer> inner)
    : options_(options), inner_(std::move(inner)) {
  if (options.scale) {
    const InputScalingOptions& scale = *options.scale;
    if (scale.alpha && !(*scale.alpha >= 0 && *scale.alpha <= 1)) {
      throw Error({"scale", fmt::format("alpha {}", *scale.alpha), "0 to 1", ""});
    }
    if (scale.steps < 1) throw Error({"scale", fmt::format("{} steps", scale.steps), "at least 1", ""});
  }
  if (options.rotate && options.rotate->output_block == 0) {
    throw Error({"rotate", "blocks of 0 outputs", "at least 1", ""});
  }
}

QuantizedWeight TransformedQuantizer::quantize_transformed(ConstMatrixView weight, const LayerStats& stats,
                                                           const LayerTransform& transform,
                                                           const std::string& component) const {
  if (transform.is_identity()) return inner_->quantize(weight, stats, component);
  const Matrix transformed = transform_weight(weight, transform);
  const TransformedStats inner_stats(stats, transform, weight.cols());
  QuantizedWeight inner = inner_->quantize(transformed.view(), inner_stats.view(), component);
  return {undo_on_decoding(std::move(inner.weight), transform), std::move(inner.warnings)};
}

QuantizedWeight TransformedQuantizer::quantize(ConstMatrixView weight, const LayerStats& stats,
                                               const std::string& component) const {
  require_finite(weight, component);
  LayerTransform transform = rotation_of(options_, weight.rows(), weight.cols());
  if (!options_.scale) return quantize_transformed(weight, stats, transform, component);

  const std::vector<double> alphas = alphas_to_try(*options_.scale);
  QuantizedWeight best;
  double least_error = std::numeric_limits<double>::infinity();
  for (const double alpha : alphas) {
    transform.input_scales = input_scales(stats, weight.cols(), alpha, component);
    QuantizedWeight candidate = quantize_transformed(weight, stats, transform, component);
    if (alphas.size() > 1) {
      const double error = proxy_error(weight, decode(candidate.weight).view(), stats.hessian);
      if (!std::isfinite(error)) {
        throw Error({component, "a Hessian with values that are no numbers", "", "calibrate this model again"});
      }
      if (!(error < least_error)) continue;
      least_error = error;
    }
    best = std::move(candidate);
  }
  return best;
}

QuantizedWeight TransformedQuantizer::quantize_without_statistics(ConstMatrixView weight,
                                                                  const std::string& component) const {
  require_finite(weight, component);
  LayerTransform transform = rotation_of(options_, weight.rows(), weight.cols());
  if (options_.scale) transform.input_scales.assign(weight.cols(), 1.0f);
  if (transform.is_identity()) return inner_->quantize_without_statistics(weight, component);
  const Matrix transformed = transform_weight(weight, transform);
  QuantizedWeight inner = inner_->quantize_without_statistics(transformed.view(), component);
  return {undo_on_decoding(std::move(inner.weight), transform), std::move(inner.warnings)};
}

std::optional<WeightLayout> TransformedQuantizer::layout(std::size_t rows, std::size_t cols) const {
  const LayerTransform rotation = rotation_of(options_, rows, cols);
  const std::optional<WeightLayout> inner = inner_->layout(rows, cols);
  const WeightTransform transform{options_.scale.has_value(), rotation.input_block, rotation.output_block};
  if (!inner || transform == WeightTransform{}) return inner;
  return TransformedLayout{rows, cols, transform, as_plain(*inner)};
}

std::string TransformedQuantizer::name() const { return lcomp::name(options_) + inner_->name(); }

std::string name(const TransformOptions& options) {
  std::string text;
  if (options.scale) text += name(*options.scale) + "+";
  if (options.rotate) text += text_of(*options.rotate) + "+";
  return text;
}

}  // namespace lcomp
