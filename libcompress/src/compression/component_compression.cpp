#include "compression/component_compression.h"

#include <fmt/format.h>

#include <cassert>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/stage_times.h"
#include "lcomp/formats/format.h"
#include "lcomp/kernels/integer_matmul.h"
#include "lcomp/quantizers/cost/squared_error.h"

namespace lcomp {

ComponentCompression::ComponentCompression(PlannedModel& planned, Allocation& allocation,
                                           const CompressOptions& options, const ProgressCallback& progress)
    : planned_(planned), allocation_(allocation), options_(options), statistics_(in_order(options.statistics)) {
  if (statistics_ == nullptr) require_statistics();
  if (options.work) checkpoint_.emplace(options.work.part("weights", to_json(planned.plan).dump()));
  fold_input_scales(progress);
}

std::vector<std::size_t> ComponentCompression::order() const {
  return statistics_ != nullptr ? statistics_->order(planned_.components) : forward_order(planned_.components);
}

ComponentCompression::Attempt ComponentCompression::next_attempt(std::size_t component) const {
  if (!allocation_.decides(component)) return {planned_.quantizers[component], {}};
  const SizeOrder order = allocation_.order(component);
  return {allocation_.quantizer(component, order), order};
}

// Refuses what can't be done without any statistics.
void ComponentCompression::require_statistics() const {
  const auto& activations = planned_.plan.activations;
  if (activations && activations->is_static()) {
    throw Error({"activations", describe(*activations) + " without calibration", "statistics of the linears' inputs",
                 "give calibration texts, or choose dynamic ranges"});
  }
  for (std::size_t i = 0; i < planned_.components.size(); ++i) {
    const std::shared_ptr<const Quantizer> chosen = next_attempt(i).quantizer;
    if (chosen == nullptr || !chosen->requires_statistics()) continue;
    throw Error({planned_.components[i].name, fmt::format("the method {} without calibration", chosen->name()),
                 "statistics of the linears' inputs",
                 "give calibration texts, or a method without statistics such as rtn"});
  }
}

void ComponentCompression::fold_input_scales(const ProgressCallback& progress) {
  InputFolding& folding = planned_.folding;
  if (folding.empty()) return;
  for (std::size_t i = 0; i < planned_.components.size(); ++i) {
    if (!folding.scales_input(i) || !planned_.has_input_grid(i)) continue;
    throw Error({planned_.components[i].name,
                 fmt::format("activations {} with {}", describe(*planned_.plan.activations), name(folding.options(i))),
                 "ranges of each token: calibration knows those of inputs that are not scaled",
                 "choose granularity \"token\", or leave out the scale"});
  }
  const StageTimer timer("input scales");
  const std::string& first = planned_.components[folding.first_scaled()].name;
  const std::string scale = name(folding.options(folding.first_scaled()));
  RandomAccessStatistics& original = original_statistics(
      options_.statistics,
      {first, scale + " without calibration", "statistics of the linears' inputs",
       "give calibration texts, or leave out the scale"},
      {first, scale + " with statistics of compressed layers",
       "those of the original: folded scales are chosen before anything is compressed",
       "lcomp calibrate gives them, for --statistics (in experiments order \"original\"); or leave out \"fold\""});
  folding.choose(
      original,
      [&](std::size_t i, const Matrix& weight, const std::shared_ptr<const LayerStats>& known) {
        return quantize(i, next_attempt(i).quantizer.get(), weight, known).weight;
      },
      checkpoint_ ? &*checkpoint_ : nullptr, progress);
}

// known: null where there are no statistics of the component.
QuantizedWeight ComponentCompression::quantize(std::size_t component, const Quantizer* quantizer, const Matrix& weight,
                                               const std::shared_ptr<const LayerStats>& known) const {
  const ModelComponent& what = planned_.components[component];
  if (quantizer == nullptr) return keep_exactly(weight, what.name);
  if (!quantizer->uses_statistics()) return quantizer->quantize(weight.view(), {}, what.name);
  if (known != nullptr) return quantizer->quantize(weight.view(), *known, what.name);
  QuantizedWeight made = quantizer->quantize_without_statistics(weight.view(), what.name);
  if (statistics_ != nullptr && what.kind == ComponentKind::linear) {
    made.warnings.insert(made.warnings.begin(), "no calibration token reached it: rounded without statistics");
  }
  return made;
}

// As the budget orders, a second time where the first told it much that it didn't know.
QuantizedWeight ComponentCompression::quantize_to_budget(std::size_t component, Attempt attempt, const Matrix& weight,
                                                         const std::shared_ptr<const LayerStats>& known,
                                                         FinishedComponent& finished) {
  for (;;) {
    QuantizedWeight made = quantize(component, attempt.quantizer.get(), weight, known);
    const std::uint64_t bytes = payload_bytes(made.weight);
    if (!allocation_.took(component, attempt.order, bytes, !finished.first_attempt)) return made;
    finished.first_attempt = bytes;
    attempt = next_attempt(component);
  }
}

FinishedComponent ComponentCompression::finish(std::size_t component, const Attempt& attempt) {
  const StageTimer timer("compression");
  const ModelComponent& what = planned_.components[component];
  const Matrix weight = planned_.folding.model().tensors->read(what.tensor);
  FinishedComponent finished;
  if (planned_.folding.stores_scale(component)) {
    finished.warnings.push_back("nothing before it can take the scale of its input, which is stored");
  }
  const Quantizer* const quantizer = attempt.quantizer.get();
  std::shared_ptr<const LayerStats> known;
  const bool has_grid = planned_.has_input_grid(component);
  if (statistics_ != nullptr && (has_grid || (quantizer != nullptr && quantizer->uses_statistics()))) {
    known = planned_.folding.scaled(component, statistics_->statistics(what));
  }
  QuantizedWeight made = allocation_.decides(component)
                             ? quantize_to_budget(component, attempt, weight, known, finished)
                             : quantize(component, quantizer, weight, known);
  finished.weight = std::move(made.weight);
  finished.warnings.insert(finished.warnings.end(), made.warnings.begin(), made.warnings.end());
  if (planned_.rounds_input(component)) {
    require_integer_product(view(finished.weight), *planned_.plan.activations, what.name);
  }
  if (has_grid) finished.input = input_grid(what, known.get());
  finished.relative_error = squared_error(weight.view(), finished.weight).relative();
  assert(quantizer == nullptr ||
         payload_bytes(finished.weight) ==
             quantizer->predicted_bytes(what.rows, what.cols).value_or(payload_bytes(finished.weight)));
  return finished;
}

InputGrid ComponentCompression::input_grid(const ModelComponent& component, const LayerStats* known) const {
  const ActivationSetting& activations = *planned_.plan.activations;
  if (known == nullptr) {
    throw Error({component.name, "no calibration token reached it: the range of its input is not known",
                 "statistics, for activations " + describe(activations),
                 "give more calibration texts, or choose dynamic ranges"});
  }
  if (known->histogram == nullptr) {
    throw Error({component.name, "statistics without the distribution of its input's values", "",
                 "calibrate again, into another folder"});
  }
  return choose_input_grid(*known->histogram, activations);
}

// From the checkpoint; the budget hears what it heard when the component was made.
FinishedComponent ComponentCompression::finished_before(std::size_t component, SizeOrder order) {
  FinishedComponent finished = checkpoint_->load(planned_.components[component].name);
  if (!allocation_.decides(component)) return finished;
  if (finished.first_attempt) {
    allocation_.took(component, order, *finished.first_attempt, true);
    order = allocation_.order(component);
  }
  allocation_.took(component, order, payload_bytes(finished.weight), !finished.first_attempt);
  return finished;
}

CompressedComponent ComponentCompression::compress(std::size_t component) {
  const ModelComponent& what = planned_.components[component];
  const Attempt attempt = next_attempt(component);
  CompressedComponent result;
  if (attempt.quantizer != nullptr) result.quantizer = attempt.quantizer->name();
  if (checkpoint_ && checkpoint_->contains(what.name)) {
    result.finished = finished_before(component, attempt.order);
  } else {
    result.finished = finish(component, attempt);
    if (checkpoint_) checkpoint_->store(what.name, result.finished);
  }
  if (allocation_.decides(component)) result.bits_slope = allocation_.bits_slope(component, result.finished.weight);
  if (statistics_ != nullptr) statistics_->compressed(what, result.finished.weight);
  return result;
}

}  // namespace lcomp
