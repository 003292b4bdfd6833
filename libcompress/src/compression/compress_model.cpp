#include "lcomp/compression/compress_model.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "compression/band_allocation.h"
#include "compression/input_folding.h"
#include "compression/rate_allocation.h"
#include "compression/width_costs.h"
#include "lcomp/allocators/bit_allocator.h"
#include "lcomp/compression/compression_checkpoint.h"
#include "lcomp/compression/model_writer.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/core/stage_times.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/kernels/integer_matmul.h"
#include "lcomp/quantizers/cost/second_order_cost.h"
#include "lcomp/quantizers/cost/squared_error.h"
#include "lcomp/quantizers/dense_quantizer.h"
#include "lcomp/quantizers/quantizer_table.h"

namespace lcomp {
namespace {

std::unique_ptr<Quantizer> quantizer_at(const ComponentSetting& setting, int bits) {
  return make_quantizer(with_bits(*setting.quantizer, bits));
}

// A weight that is kept exactly: the type is found from the values.
CompressedWeight keep_exactly(const Matrix& weight, const std::string& name) {
  return encode_dense(weight.view(), exact_dense_type(weight.view()), name);
}

bool is_open(const ComponentSetting& setting) {
  return setting.open_width || setting.open_precision || setting.open_bands;
}

class Compression {
 public:
  Compression(const ModelFolder& model, const CompressionPlan& plan, const CompressOptions& options,
              ProgressCallback progress)
      : model_(model),
        plan_(plan),
        options_(options),
        progress_(std::move(progress)),
        components_(model_components(model)),
        settings_(resolve_plan(plan, components_)),
        folding_(model, components_, settings_),
        statistics_(in_order(options.statistics)) {
    report_.parameters = model.parameters();
    for (std::size_t i = 0; i < components_.size(); ++i) {
      const ComponentSetting& setting = settings_[i];
      const bool chosen_here = !is_open(setting) && setting.quantizer;
      quantizers_.push_back(chosen_here ? make_quantizer(*setting.quantizer) : nullptr);
    }
    if (plan.activations) activations_.setting = *plan.activations;
    if (plan.target) share_out();
    if (statistics_ == nullptr) check_without_statistics();
    if (options.work) checkpoint_.emplace(options.work.part("weights", to_json(plan).dump()));
    fold_input_scales();
  }

  CompressionReport run(const std::filesystem::path& out) {
    ModelWriter writer(model_, out, options_.replace);
    std::uint64_t weights = 0;
    for (const ModelComponent& component : components_) weights += component.parameters();
    Progress progress(progress_, "compressing", weights);
    report_.components.resize(components_.size());
    for (const std::size_t i : order()) {
      report_.components[i] = add_component(i, writer);
      progress.advance(components_[i].parameters());
    }
    for (const std::string& tensor : uncompressed_tensors(model_)) {
      report_.kept_parameters += model_.tensors->info(tensor).elements();
      report_.kept_bytes += writer.keep(tensor, folding_.model().tensors->read(tensor));
    }
    writer.add_tokenizer(model_.path);
    if (plan_.activations) report_.activation_bytes = writer.set_activations(activations_);
    nlohmann::json description = {{"plan", to_json(plan_)}};
    if (statistics_ != nullptr) description["calibration"] = statistics_->description();
    description.update(options_.record);
    report_.set_size(writer.finish(description));
    return std::move(report_);
  }

 private:
  std::vector<std::size_t> order() const {
    return statistics_ != nullptr ? statistics_->order(components_) : forward_order(components_);
  }

  void check_without_statistics() const {
    if (plan_.activations && plan_.activations->is_static()) {
      throw Error({"activations", describe(*plan_.activations) + " without calibration",
                   "statistics of the linears' inputs", "give calibration texts, or choose dynamic ranges"});
    }
    for (std::size_t i = 0; i < components_.size(); ++i) {
      if (quantizers_[i] == nullptr || !quantizers_[i]->requires_statistics()) continue;
      throw Error({components_[i].name, fmt::format("the method {} without calibration", quantizers_[i]->name()),
                   "statistics of the linears' inputs",
                   "give calibration texts, or a method without statistics such as rtn"});
    }
  }

  void fold_input_scales() {
    if (folding_.empty()) return;
    for (std::size_t i = 0; i < components_.size(); ++i) {
      if (!folding_.scales_input(i) || !has_input_grid(components_[i])) continue;
      throw Error({components_[i].name,
                   fmt::format("activations {} with {}", describe(*plan_.activations), name(folding_.options(i))),
                   "ranges of each token: calibration knows those of inputs that are not scaled",
                   "choose granularity \"token\", or leave out the scale"});
    }
    const StageTimer timer("input scales");
    std::vector<std::string> ignored;  // of candidates
    const std::string& first = components_[folding_.first_scaled()].name;
    const std::string scale = name(folding_.options(folding_.first_scaled()));
    RandomAccessStatistics& original = original_statistics(
        options_.statistics,
        {first, scale + " without calibration", "statistics of the linears' inputs",
         "give calibration texts, or leave out the scale"},
        {first, scale + " with statistics of compressed layers",
         "those of the original: folded scales are chosen before anything is compressed",
         "lcomp calibrate gives them, for --statistics (in experiments order \"original\"); or leave out \"fold\""});
    folding_.choose(
        original,
        [&](std::size_t i, const Matrix& weight, const std::shared_ptr<const LayerStats>& known) {
          return compress(i, weight, known, ignored);
        },
        checkpoint_ ? &*checkpoint_ : nullptr, progress_);
  }

  // Whether the component's input is rounded.
  bool rounds_input(const ModelComponent& component) const {
    if (!plan_.activations) return false;
    const bool is_head = component.kind == ComponentKind::head ||
                         (component.kind == ComponentKind::embedding && model_.config.tied_head);
    return component.kind == ComponentKind::linear || (plan_.activations->head && is_head);
  }
  bool has_input_grid(const ModelComponent& component) const {
    return rounds_input(component) && plan_.activations->is_static();
  }

  InputGrid input_grid(const ModelComponent& component, const LayerStats* known) const {
    if (known == nullptr) {
      throw Error({component.name, "no calibration token reached it: the range of its input is not known",
                   "statistics, for activations " + describe(*plan_.activations),
                   "give more calibration texts, or choose dynamic ranges"});
    }
    if (known->histogram == nullptr) {
      throw Error({component.name, "statistics without the distribution of its input's values", "",
                   "calibrate again, into another folder"});
    }
    return choose_input_grid(*known->histogram, *plan_.activations);
  }

  // known: null where there are no statistics.
  CompressedWeight compress(std::size_t i, const Matrix& weight, const std::shared_ptr<const LayerStats>& known,
                            std::vector<std::string>& warnings) {
    const ModelComponent& component = components_[i];
    const Quantizer* quantizer = quantizers_[i].get();
    if (quantizer == nullptr) return keep_exactly(weight, component.name);
    if (!quantizer->uses_statistics()) return quantizer->quantize(weight.view(), {}, component.name);
    if (known == nullptr) {
      if (statistics_ != nullptr && component.kind == ComponentKind::linear) {
        warnings.push_back("no calibration token reached it: rounded without statistics");
      }
      return quantizer->quantize_without_statistics(weight.view(), component.name);
    }
    LayerStats stats = *known;
    stats.warnings = &warnings;
    return quantizer->quantize(weight.view(), stats, component.name);
  }

  FinishedComponent finish_component(std::size_t i) {
    const StageTimer timer("compression");
    const ModelComponent& component = components_[i];
    const Matrix weight = folding_.model().tensors->read(component.tensor);
    const Quantizer* quantizer = quantizers_[i].get();
    FinishedComponent finished;
    if (folding_.stores_scale(i)) {
      finished.warnings.push_back("nothing before it can take the scale of its input, which is stored");
    }
    std::shared_ptr<const LayerStats> known;
    const bool of_open_precision = rates_ && rates_->contains(i);
    const bool wanted =
        of_open_precision || (quantizer != nullptr && quantizer->uses_statistics()) || has_input_grid(component);
    if (wanted && statistics_ != nullptr) {
      known = folding_.scaled(i, statistics_->statistics(component));
    }
    if (of_open_precision) {
      LayerStats stats = known != nullptr ? *known : LayerStats{};
      stats.warnings = &finished.warnings;
      RateAllocation::Result result = rates_->compress(i, weight.view(), stats, component.name);
      finished.weight = std::move(result.weight);
      finished.first_attempt = result.first_attempt;
    } else {
      finished.weight = compress(i, weight, known, finished.warnings);
    }
    if (rounds_input(component)) require_integer_product(view(finished.weight), *plan_.activations, component.name);
    if (has_input_grid(component)) finished.input = input_grid(component, known.get());
    finished.relative_error = squared_error(weight.view(), finished.weight).relative();
    return finished;
  }

  ComponentReport add_component(std::size_t i, ModelWriter& writer) {
    const ModelComponent& component = components_[i];
    const bool found = checkpoint_ && checkpoint_->contains(component.name);
    const FinishedComponent finished = found ? checkpoint_->load(component.name) : finish_component(i);
    if (checkpoint_ && !found) checkpoint_->store(component.name, finished);
    if (found && rates_ && rates_->contains(i)) {
      rates_->taken_before(i, payload_bytes(finished.weight), finished.first_attempt);
    }
    if (finished.input) activations_.inputs.emplace(component.tensor, *finished.input);
    writer.add(component.tensor, finished.weight);
    if (statistics_ != nullptr) statistics_->compressed(component, finished.weight);

    const Quantizer* quantizer = quantizers_[i].get();
    const WeightLayout shape = layout(finished.weight);
    ComponentReport line;
    line.name = component.name;
    line.kind = component.kind;
    line.format = describe(shape);
    line.quantizer = quantizer != nullptr            ? quantizer->name()
                     : rates_ && rates_->contains(i) ? rates_->quantizer_name(i)
                                                     : line.format;
    if (folding_.scales_input(i)) line.quantizer = name(folding_.options(i)) + "+" + line.quantizer;
    line.parameters = component.parameters();
    line.bytes = payload_bytes(shape);
    line.bits_per_weight = bits_per_weight(shape);
    line.relative_error = finished.relative_error;
    if (rates_ && rates_->contains(i)) line.bits_slope = rates_->bits_slope(i, line.bytes);
    if (settings_[i].open_bands) {
      const auto& bands = std::get<BandedIntegerWeight>(finished.weight);
      line.bits_slope = static_cast<double>(bands.rows * std::min(bands.coded_bands * band_columns, bands.cols));
    }
    line.warnings = finished.warnings;
    assert(quantizer == nullptr ||
           line.bytes == quantizer->predicted_bytes(component.rows, component.cols).value_or(line.bytes));
    return line;
  }

  // At most what a tensor takes that is kept.
  std::uint64_t kept_bytes(const std::string& tensor) const {
    const Matrix kept = model_.tensors->read(tensor);
    return folding_.may_widen(tensor) ? kept.size() * sizeof(float) : payload_bytes(keep_exactly(kept, tensor));
  }

  // Bytes of everything but the components of open width.
  std::uint64_t other_bytes() const {
    std::uint64_t bytes = 0;
    for (const std::string& tensor : uncompressed_tensors(model_)) {
      bytes += kept_bytes(tensor);
    }
    for (std::size_t i = 0; i < components_.size(); ++i) {
      const ModelComponent& component = components_[i];
      if (has_input_grid(component)) bytes += input_grid_bytes;
      if (is_open(settings_[i])) continue;
      if (quantizers_[i] == nullptr) {
        bytes += kept_bytes(component.tensor);
        continue;
      }
      const auto predicted = quantizers_[i]->predicted_bytes(component.rows, component.cols);
      if (!predicted) {
        throw Error({component.name, fmt::format("{} in a plan with a target", quantizers_[i]->name()),
                     "a method whose size is known beforehand, or one that leaves its precision open",
                     "bound it by min_bits and max_bits instead"});
      }
      bytes += *predicted;
    }
    return bytes;
  }

  // Chooses what settings leave open: widths here, precisions as components are compressed.
  void share_out() {
    const StageTimer timer("allocation");
    const auto open = [&](bool ComponentSetting::*which) {
      return std::any_of(settings_.begin(), settings_.end(), [&](const ComponentSetting& s) { return s.*which; });
    };
    const bool bands = open(&ComponentSetting::open_bands);
    if (!open(&ComponentSetting::open_precision) && !bands) {
      allocate_widths();
      return;
    }
    if (open(&ComponentSetting::open_width) || (bands && open(&ComponentSetting::open_precision))) {
      throw Error({"target", "open components of several kinds (fixed width, banded, rate-coded) in one plan",
                   "one kind", "give \"bits\" to the others"});
    }
    if (plan_.allocator == "learned") {
      throw Error({"allocator", "\"learned\" without texts to learn from", "texts, or another allocator", ""});
    }
    const std::uint64_t budget = plan_.target->budget(report_.parameters);
    const std::uint64_t others = other_bytes() + options_.reserved_bytes;
    if (others > budget) {
      throw Error({"target size", fmt::format("{} bytes", budget),
                   fmt::format("at least {} bytes, which the other components take", others), ""});
    }
    const ErrorParts without = {
        "target", fmt::format("a budget for {} components without statistics", bands ? "banded" : "rate-coded"),
        "statistics of the original, with sensitivities",
        "lcomp calibrate --sensitivity divergence makes them, for --statistics"};
    ErrorParts sequential = without;
    sequential.found = "statistics of the model as it is compressed, for a budget";
    RandomAccessStatistics& original = original_statistics(options_.statistics, without, std::move(sequential));
    if (bands) {
      for (const auto& [i, quantizer] : allocate_bands(components_, settings_, plan_.allocator, budget - others,
                                                       original, *model_.tensors, progress_)) {
        quantizers_[i] = std::make_unique<BandedQuantizer>(quantizer);
      }
      return;
    }
    rates_.emplace(components_, settings_, plan_.allocator, budget - others, original, *model_.tensors, progress_);
  }

  double squared_error_at(std::size_t i, int bits) const {
    const ModelComponent& component = components_[i];
    const Matrix weight = model_.tensors->read(component.tensor);
    const auto quantizer = quantizer_at(settings_[i], bits);
    return squared_error(weight.view(), quantizer->quantize_without_statistics(weight.view(), component.name)).error;
  }

  // What the sensitivities say of the component at a width, as it will be quantized.
  ErrorCost cost_at(std::size_t i, int bits, RandomAccessStatistics& original) const {
    const ModelComponent& component = components_[i];
    const Matrix weight = model_.tensors->read(component.tensor);
    const auto quantizer = quantizer_at(settings_[i], bits);
    const std::shared_ptr<const LayerStats> known = original.statistics(component);
    const CompressedWeight compressed = quantizer->uses_statistics() && known->hessian.size() > 0
                                            ? quantizer->quantize(weight.view(), *known, component.name)
                                            : quantizer->quantize_without_statistics(weight.view(), component.name);
    Matrix decoded(component.rows, component.cols);
    decode_rows(view(compressed), 0, component.rows, decoded.span());
    return error_cost(weight.view(), decoded.view(), *known->sensitivity, component.name);
  }

  // The statistics of the original, if they have sensitivities of all these components.
  RandomAccessStatistics& require_sensitivities(const std::vector<std::size_t>& components) const {
    const ErrorParts missing = {"allocator", fmt::format("\"{}\" without statistics of the original", plan_.allocator),
                                "statistics with sensitivities, of the original",
                                "lcomp calibrate --sensitivity divergence makes them, for --statistics"};
    RandomAccessStatistics& original = original_statistics(options_.statistics, missing, missing);
    for (const std::size_t i : components) {
      const std::shared_ptr<const LayerStats> known = original.statistics(components_[i]);
      if (known != nullptr && known->sensitivity != nullptr) continue;
      throw Error({components_[i].name, "no sensitivity: how much the cost depends on it",
                   "that of every component, for allocator " + plan_.allocator,
                   "lcomp calibrate --sensitivity divergence gathers them"});
    }
    return original;
  }

  // Chooses the width of every component whose setting leaves it open.
  void allocate_widths() {
    AllocationProblem problem;
    problem.budget = plan_.target->budget(report_.parameters);
    problem.other_bytes = other_bytes() + options_.reserved_bytes;
    problem.parameters = report_.parameters;
    std::vector<std::size_t> open;  // indices into components_
    std::uint64_t weights = 0;
    for (std::size_t i = 0; i < components_.size(); ++i) {
      if (!settings_[i].open_width) continue;
      AllocatableComponent component{components_[i].name, {}};
      // Integers can't be multiplied by 1-bit codes, whose zero point is 1/2.
      for (int bits = rounds_input(components_[i]) ? 2 : 1; bits <= 8; ++bits) {
        const auto quantizer = quantizer_at(settings_[i], bits);
        component.choices.push_back({bits, *quantizer->predicted_bytes(components_[i].rows, components_[i].cols)});
      }
      problem.components.push_back(std::move(component));
      open.push_back(i);
      weights += components_[i].parameters();
    }
    if (open.empty()) {
      throw Error({"target", "every component has its width already", "a setting without \"bits\"",
                   "leave out \"bits\", or the target"});
    }
    const bool by_cost = plan_.allocator != "fixed";
    RandomAccessStatistics* original = by_cost ? &require_sensitivities(open) : nullptr;
    WidthCosts costs(by_cost ? options_.costs : Workspace());
    Progress progress(progress_, "allocating bits", (by_cost ? 8 : 2) * weights);
    const auto allocator = make_allocator(plan_.allocator);
    const std::vector<std::size_t> chosen = allocator->allocate(problem, [&](std::size_t index, std::size_t choice) {
      const int bits = problem.components[index].choices[choice].bits;
      const auto weighed_cost = [&] {
        const std::string quantizer = name(with_bits(*settings_[open[index]].quantizer, bits));
        return costs.at(components_[open[index]].name, quantizer, [&] { return cost_at(open[index], bits, *original); })
            .weighed(default_shrinkage_weight);
      };
      const double error = by_cost ? weighed_cost() : squared_error_at(open[index], bits);
      progress.advance(components_[open[index]].parameters());
      return error;
    });
    for (std::size_t index = 0; index < open.size(); ++index) {
      const int bits = problem.components[index].choices[chosen[index]].bits;
      quantizers_[open[index]] = quantizer_at(settings_[open[index]], bits);
    }
  }

  const ModelFolder& model_;
  const CompressionPlan& plan_;
  const CompressOptions& options_;
  ProgressCallback progress_;
  std::vector<ModelComponent> components_;
  std::vector<ComponentSetting> settings_;  // as components_, without scales that are folded
  InputFolding folding_;
  std::shared_ptr<SequentialStatistics> statistics_;    // null: there are none
  std::vector<std::unique_ptr<Quantizer>> quantizers_;  // as components_; null: kept exactly
  ActivationQuantization activations_;
  std::optional<RateAllocation> rates_;
  std::optional<CompressionCheckpoint> checkpoint_;
  CompressionReport report_;
};

}  // namespace

CompressionReport compress_model(const ModelFolder& model, const CompressionPlan& plan,
                                 const std::filesystem::path& out, const CompressOptions& options,
                                 ProgressCallback progress) {
  return Compression(model, plan, options, std::move(progress)).run(out);
}

}  // namespace lcomp
