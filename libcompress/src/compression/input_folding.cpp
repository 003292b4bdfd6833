#include "compression/input_folding.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <map>
#include <utility>

#include "compression/rescaled_tensors.h"
#include "lcomp/core/error.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "lcomp/quantizers/transforms/layer_transform.h"

namespace lcomp {
namespace {

std::vector<float> inverse(std::vector<float> scales) {
  for (float& c : scales) c = 1 / c;
  return scales;
}

// The weight of statistics in sums over linear layers.
double tokens_of(const LayerStats& stats) { return static_cast<double>(std::max<std::uint64_t>(1, stats.tokens)); }

LayerTransform scaling_by(std::vector<float> channel_scales) {
  LayerTransform transform;
  transform.input_scales = std::move(channel_scales);
  return transform;
}

// Statistics of scaled inputs with all that they are views of.
struct ScaledStats {
  ScaledStats(std::shared_ptr<const LayerStats> known, const LayerTransform& transform, std::size_t channels)
      : original(std::move(known)), transformed(*original, transform, channels), view(transformed.view()) {
    view.histogram = nullptr;
    view.sensitivity = nullptr;
  }
  std::shared_ptr<const LayerStats> original;
  TransformedStats transformed;
  LayerStats view;
};

std::shared_ptr<const LayerStats> scaled_stats(std::shared_ptr<const LayerStats> known, const LayerTransform& transform,
                                               std::size_t channels) {
  const auto held = std::make_shared<ScaledStats>(std::move(known), transform, channels);
  return {held, &held->view};
}

}  // namespace

InputFolding::InputFolding(const ModelFolder& model, const std::vector<ModelComponent>& components,
                           std::vector<ComponentSetting>& settings)
    : model_(model), components_(components), input_of_(components.size()), stores_scale_(components.size(), false) {
  std::map<std::string, std::size_t, std::less<>> index;  // of components, by tensor
  std::vector<std::optional<QuantizerSetting>> without(components.size());
  std::vector<std::optional<InputScalingOptions>> wanted(components.size());
  for (std::size_t i = 0; i < components.size(); ++i) {
    index.emplace(components[i].tensor, i);
    if (!settings[i].quantizer) continue;
    without[i] = settings[i].quantizer;
    wanted[i] = take_folded_scale(*without[i]);
    if (wanted[i] && components[i].kind == ComponentKind::embedding) settings[i].quantizer = without[i];
  }
  if (std::ranges::none_of(wanted, [](const auto& options) { return options.has_value(); })) return;
  const auto refuse_sensitive = [&](const std::string& tensor) {
    const std::size_t i = index.at(tensor);
    if (!settings[i].quantizer) return;
    const QuantizerOptions& options = settings[i].quantizer->options;
    if (!std::holds_alternative<RateCodedOptions>(options) && !std::holds_alternative<BandedOptions>(options)) return;
    throw Error({components[i].name, "a rate-coded or banded weight that folded scales of inputs would change",
                 "a method of fixed width", "leave \"fold\" out of the settings of its layer"});
  };
  for (ScalableInput& scalable : scalable_inputs(model)) {
    Input input;
    for (const LinearSlices& reader : scalable.readers) {
      const std::size_t i = index.at(reader.weight.tensor);
      const bool seen = std::ranges::find(input.readers, i) != input.readers.end();
      if (!seen && settings[i].quantizer) input.readers.push_back(i);
    }
    const auto first = std::ranges::find_if(input.readers, [&](std::size_t i) { return wanted[i].has_value(); });
    if (first == input.readers.end()) continue;
    for (const std::size_t i : input.readers) {
      if (wanted[i] == wanted[*first]) continue;
      throw Error(
          {components[i].name,
           fmt::format("{} beside {} of {}, which has the same input", wanted[i] ? name(*wanted[i]) : "no folded scale",
                       name(*wanted[*first]), components[*first].name),
           "one scale for all that share an input", "give them the same, or leave \"fold\" out"});
    }
    for (const LinearSlices& reader : scalable.readers) {
      refuse_sensitive(reader.weight.tensor);
      if (!settings[index.at(reader.weight.tensor)].quantizer) widening_.insert(reader.weight.tensor);
    }
    if (!scalable.source.weight.tensor.empty()) refuse_sensitive(scalable.source.weight.tensor);
    if (!scalable.norm.bias.tensor.empty()) widening_.insert(scalable.norm.bias.tensor);
    for (const std::size_t i : input.readers) {
      settings[i].quantizer = without[i];
      input_of_[i] = inputs_.size();
    }
    input.options = *wanted[*first];
    input.scalable = std::move(scalable);
    inputs_.push_back(std::move(input));
  }
  for (std::size_t i = 0; i < components.size(); ++i) {
    stores_scale_[i] = wanted[i] && !input_of_[i] && components[i].kind != ComponentKind::embedding;
  }
}

// `scales`, each moved to the nearest one that makes of the gain of the norm, or the bias of the source, a value of the
// type that holds it now.
std::vector<float> InputFolding::storable(const ScalableInput& input, std::vector<float> scales) const {
  const bool after_norm = !input.norm.gain.tensor.empty();
  const TensorSlice& kept = after_norm ? input.norm.gain : input.source.bias;
  if (kept.tensor.empty()) return scales;
  const double one = after_norm && model_.config.norm == NormKind::rms_plus_one ? 1 : 0;
  const Matrix values = model_.tensors->read(kept.tensor);
  const DenseType type = exact_dense_type(values.view());
  for (std::size_t k = 0; k < scales.size(); ++k) {
    const double factor = one + static_cast<double>(values(kept.row_begin + k, 0));
    if (factor == 0) continue;
    const float stored = rounded_to(type, static_cast<float>(factor * static_cast<double>(scales[k]) - one));
    const double storable = (one + static_cast<double>(stored)) / factor;
    scales[k] = storable > 0 && std::isfinite(storable) ? static_cast<float>(storable) : 1.0f;
  }
  return scales;
}

std::vector<float> InputFolding::channel_scales(const Input& input, const std::vector<float>& scales) const {
  std::vector<float> channels;
  channels.reserve(input.scalable.in_features());
  for (const std::uint32_t factor : input.scalable.factor_of) channels.push_back(scales[factor]);
  return channels;
}

std::vector<float> InputFolding::choose_scales(const Input& input, RandomAccessStatistics& statistics,
                                               const Quantize& quantize, Progress& progress) const {
  const std::size_t factors = input.scalable.factors, channels = input.scalable.in_features();
  std::vector<double> squares(factors, 0.0);
  for (const std::size_t i : input.readers) {
    const auto known = statistics.statistics(components_[i]);
    if (known == nullptr) continue;
    const std::vector<double> rms = root_mean_squares(*known, channels, components_[i].name);
    for (std::size_t j = 0; j < channels; ++j) {
      squares[input.scalable.factor_of[j]] += tokens_of(*known) * rms[j] * rms[j];
    }
  }
  for (double& square : squares) square = std::sqrt(square);
  std::vector<std::vector<float>> candidates;
  for (const double alpha : alphas_to_try(input.options)) {
    std::vector<float> scales = storable(input.scalable, input_scales(squares, alpha));
    if (candidates.empty() || candidates.back() != scales) candidates.push_back(std::move(scales));
  }
  std::vector<double> errors(candidates.size(), 0.0);
  for (const std::size_t i : input.readers) {
    const auto known = candidates.size() > 1 ? statistics.statistics(components_[i]) : nullptr;
    if (known != nullptr) {
      const Matrix weight = model_.tensors->read(components_[i].tensor);
      for (std::size_t c = 0; c < candidates.size(); ++c) {
        const LayerTransform transform = scaling_by(channel_scales(input, candidates[c]));
        const Matrix scaled_weight = transform_weight(weight.view(), transform);
        const std::shared_ptr<const LayerStats> stats = scaled_stats(known, transform, channels);
        const Matrix decoded = decode(quantize(i, scaled_weight, stats));
        errors[c] += tokens_of(*known) * proxy_error(scaled_weight.view(), decoded.view(), stats->hessian);
      }
    }
    progress.advance(components_[i].parameters());
  }
  const auto least = std::ranges::min_element(errors);
  if (!std::isfinite(*least)) {
    throw Error({components_[input.readers.front()].name, "a Hessian with values that are no numbers", "",
                 "calibrate this model again"});
  }
  return candidates[static_cast<std::size_t>(least - errors.begin())];
}

void InputFolding::choose(RandomAccessStatistics& statistics, const Quantize& quantize,
                          CompressionCheckpoint* checkpoint, const ProgressCallback& progress_callback) {
  assert(!empty());
  std::uint64_t weights = 0;
  for (const Input& input : inputs_) {
    for (const std::size_t i : input.readers) weights += components_[i].parameters();
  }
  Progress progress(progress_callback, "choosing input scales", weights);
  for (Input& input : inputs_) {
    const std::string& component = components_[input.readers.front()].name;
    if (checkpoint != nullptr && checkpoint->contains_input_scales(component)) {
      input.scales = checkpoint->load_input_scales(component, input.scalable.factors);
      for (const std::size_t i : input.readers) progress.advance(components_[i].parameters());
      continue;
    }
    input.scales = choose_scales(input, statistics, quantize, progress);
    if (checkpoint != nullptr) checkpoint->store_input_scales(component, input.scales);
  }
  rescale_model();
}

void InputFolding::rescale_model() {
  std::map<std::string, TensorFactors, std::less<>> factors;
  const auto scale_rows = [&](const TensorSlice& slice, const std::vector<float>& scales, bool plus_one,
                              bool keeps_type) {
    if (slice.tensor.empty()) return;
    assert(slice.rows == scales.size());
    TensorFactors& of_tensor = factors[slice.tensor];
    if (of_tensor.rows.empty()) of_tensor.rows.assign(model_.tensors->info(slice.tensor).rows(), 1.0f);
    of_tensor.plus_one = plus_one;
    if (keeps_type) of_tensor.type = exact_dense_type(model_.tensors->read(slice.tensor).view());
    std::ranges::copy(scales, of_tensor.rows.begin() + static_cast<std::ptrdiff_t>(slice.row_begin));
  };
  for (const Input& input : inputs_) {
    const std::vector<float> columns = inverse(channel_scales(input, input.scales));
    for (const LinearSlices& reader : input.scalable.readers) factors[reader.weight.tensor].columns = columns;
    scale_rows(input.scalable.norm.gain, input.scales, model_.config.norm == NormKind::rms_plus_one, true);
    scale_rows(input.scalable.norm.bias, input.scales, false, false);
    scale_rows(input.scalable.source.weight, input.scales, false, false);
    scale_rows(input.scalable.source.bias, input.scales, false, true);
  }
  model_.tensors = std::make_shared<RescaledTensors>(model_.tensors, std::move(factors));
}

std::shared_ptr<const LayerStats> InputFolding::scaled(std::size_t component,
                                                       std::shared_ptr<const LayerStats> known) const {
  if (known == nullptr || !scales_input(component)) return known;
  const Input& input = inputs_[*input_of_[component]];
  return scaled_stats(std::move(known), scaling_by(channel_scales(input, input.scales)), input.scalable.in_features());
}

}  // namespace lcomp
