#include "lcomp/calibration/compression_statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "compressed_tensors.h"
#include "input_groups.h"
#include "lcomp/calibration/calibrate.h"
#include "lcomp/core/error.h"

namespace lcomp {
namespace {

// Statistics with all that they are views of.
struct HeldStatistics {
  std::shared_ptr<const InputStatistics> input;
  Sensitivity sensitivity;
  Matrix guided_hessian;
  LayerSensitivity sensitivity_view;
  LayerStats view;
};

std::shared_ptr<const LayerStats> shared_view(std::shared_ptr<HeldStatistics> held) {
  const LayerStats* view = &held->view;
  return {std::move(held), view};
}

// Null where no token was seen.
std::shared_ptr<const LayerStats> shared_view(std::shared_ptr<const InputStatistics> statistics) {
  if (statistics->tokens == 0) return nullptr;
  auto held = std::make_shared<HeldStatistics>();
  held->view = statistics->view();
  held->input = std::move(statistics);
  return shared_view(std::move(held));
}

class ArchivedStatistics : public RandomAccessStatistics {
 public:
  ArchivedStatistics(CalibrationArchive archive, std::optional<SensitivityCost> cost, bool of_original)
      : archive_(std::move(archive)), cost_(cost), of_original_(of_original) {
    if (!cost_) return;
    const std::vector<std::string> names = archive_.sensitive_components(*cost_);
    sensitive_.insert(names.begin(), names.end());
  }

  std::shared_ptr<const LayerStats> statistics(const ModelComponent& component) override {
    std::shared_ptr<const InputStatistics> input;
    if (archive_.contains(component.name)) input = archive_.statistics(component.name);
    if (input && input->tokens == 0) return nullptr;
    if (!sensitive_.contains(component.name)) return input ? shared_view(std::move(input)) : nullptr;

    auto held = std::make_shared<HeldStatistics>();
    if (input) held->view = input->view();
    held->input = std::move(input);
    held->sensitivity = archive_.sensitivity(*cost_, component.name);
    if (archive_.guided_groups(*cost_, component.name) > 0) {
      held->guided_hessian = archive_.guided_hessian(*cost_, component.name);
    }
    held->sensitivity_view = {held->sensitivity.outputs, held->sensitivity.rows, held->sensitivity.columns,
                              held->guided_hessian.view(), component.kind == ComponentKind::embedding};
    held->view.sensitivity = &held->sensitivity_view;
    return shared_view(std::move(held));
  }

  nlohmann::json description() const override {
    nlohmann::json json = {{"order", "original"}, {"tokens", archive_.tokens()}, {"texts", archive_.key().texts}};
    if (!of_original_) json["measured"] = archive_.key().model;
    if (cost_) json["sensitivity"] = name(*cost_);
    return json;
  }

 private:
  CalibrationArchive archive_;
  std::optional<SensitivityCost> cost_;
  bool of_original_;
  std::set<std::string> sensitive_;  // components whose sensitivities are known
};

void require_same_components(const ModelFolder& found, const ModelFolder& expected) {
  const auto text = [](const std::vector<ModelComponent>& components, std::size_t i) {
    if (i >= components.size()) return std::string("no more components");
    return fmt::format("{} {} x {}", components[i].name, components[i].rows, components[i].cols);
  };
  const std::vector<ModelComponent> of_found = model_components(found), of_expected = model_components(expected);
  for (std::size_t i = 0; i < std::max(of_found.size(), of_expected.size()); ++i) {
    if (text(of_found, i) == text(of_expected, i)) continue;
    throw Error({found.path.string(), text(of_found, i),
                 fmt::format("{}, as in {}", text(of_expected, i), expected.path.string()),
                 "statistics are of use for the same architecture only"});
  }
}

class StatisticsAsCompressed : public SequentialStatistics {
 public:
  StatisticsAsCompressed(const ModelFolder& model, CalibrationTexts texts, BlockOrder order,
                         const CalibrationOptions& options, ComputeType compute, Workspace work)
      : model_(model),
        texts_(std::move(texts)),
        order_(order),
        options_(options),
        compute_(compute),
        work_(std::move(work)),
        tensors_(std::make_shared<CompressedTensors>(model.tensors)) {
    for (std::size_t layer = 0; layer < model.slices.blocks.size(); ++layer) {
      for (const InputGroup& group : input_groups(model.slices.blocks[layer])) {
        for (const std::string& component : group.components) places_[component] = {layer, group.stage};
      }
    }
    head_ = head_group(model).components.front();
  }

  std::vector<std::size_t> order(const std::vector<ModelComponent>& components) const override {
    std::vector<std::size_t> indices(components.size());
    std::iota(indices.begin(), indices.end(), std::size_t{0});
    std::stable_sort(indices.begin(), indices.end(),
                     [&](std::size_t a, std::size_t b) { return rank(components[a].name) < rank(components[b].name); });
    return indices;
  }

  std::shared_ptr<const LayerStats> statistics(const ModelComponent& component) override {
    if (component.name == head_) {
      advance_to(model_.config.num_layers());
      return shared_view(std::make_shared<InputStatistics>(calibration().collect_head()));
    }
    const auto place = places_.find(component.name);
    if (place == places_.end()) return nullptr;
    advance_to(place->second.layer);
    const std::size_t stage = order_ == BlockOrder::by_stage ? place->second.stage : 0;
    if (collected_stage_ != stage) {
      collected_.clear();
      // Of a whole block: none of its own weights is replaced, even those that were finished before an interruption.
      const TensorSource& weights = order_ == BlockOrder::by_stage ? *tensors_ : *model_.tensors;
      for (InputStatistics& input : calibration().collect(stage, weights)) {
        collected_.push_back(std::make_shared<InputStatistics>(std::move(input)));
      }
      collected_stage_ = stage;
    }
    for (const auto& input : collected_) {
      if (std::ranges::find(input->components, component.name) != input->components.end()) return shared_view(input);
    }
    return nullptr;
  }

  void compressed(const ModelComponent& component, const CompressedWeight& weight) override {
    if (component.name == head_) return;
    tensors_->replace(component.tensor, weight);
    if (const auto place = places_.find(component.name); place != places_.end()) {
      replaced_[place->second.layer].push_back(component.tensor);
    }
  }

  nlohmann::json description() const override {
    return {{"order", order_ == BlockOrder::by_stage ? "stage" : "block"},
            {"tokens", texts_.batch.tokens()},
            {"texts", texts_.description}};
  }

 private:
  struct Place {
    std::size_t layer = 0;
    std::size_t stage = 0;
  };

  // Position in the forward pass: embedding, (layer, stage), head.
  std::size_t rank(const std::string& component) const {
    if (component == head_) return block_stages * model_.config.num_layers() + 1;
    const auto place = places_.find(component);
    return place == places_.end() ? 0 : block_stages * place->second.layer + place->second.stage + 1;
  }

  // Made when it is first needed: the embedding is compressed by then.
  SequentialCalibration& calibration() {
    if (!calibration_) {
      ModelFolder model = model_;
      model.tensors = tensors_;
      model.activations.reset();  // of the model that is compressed: the result's are not chosen yet
      decoder_.emplace(std::move(model), compute_);
      if (work_) {
        calibration_.emplace(*decoder_, texts_.batch, order_, options_,
                             calibration_key(model_, compute_, texts_.batch, options_), work_);
      } else {
        calibration_.emplace(*decoder_, texts_.batch, order_, options_);
      }
      for (std::size_t layer = 0; layer < calibration_->layer(); ++layer) forget(layer);
    }
    return *calibration_;
  }

  // All components of the layers before are compressed: their outputs are known.
  void advance_to(std::size_t layer) {
    if (calibration().layer() > layer) {
      throw Error({work_.folder().string(), fmt::format("unfinished work at layer {}", calibration().layer()),
                   fmt::format("at most layer {}, whose weights are not compressed", layer), "delete the folder"});
    }
    while (calibration().layer() < layer) {
      collected_.clear();
      collected_stage_.reset();
      calibration().advance(*tensors_);
      forget(calibration().layer() - 1);
    }
  }

  // The compressed weights of a block that is behind: their memory is free.
  void forget(std::size_t layer) {
    for (const std::string& tensor : replaced_[layer]) tensors_->restore(tensor);
    replaced_.erase(layer);
  }

  const ModelFolder& model_;
  CalibrationTexts texts_;
  BlockOrder order_;
  CalibrationOptions options_;
  ComputeType compute_;
  Workspace work_;
  std::shared_ptr<CompressedTensors> tensors_;
  std::map<std::size_t, std::vector<std::string>> replaced_;  // tensors by layer
  std::map<std::string, Place> places_;
  std::string head_;
  std::optional<Decoder> decoder_;
  std::optional<SequentialCalibration> calibration_;
  std::optional<std::size_t> collected_stage_;
  std::vector<std::shared_ptr<const InputStatistics>> collected_;
};

}  // namespace

std::unique_ptr<RandomAccessStatistics> archived_statistics(const ModelFolder& model, CalibrationArchive archive,
                                                            std::optional<SensitivityCost> cost,
                                                            const ModelFolder* measured) {
  if (measured != nullptr) require_same_components(*measured, model);
  archive.require_model(measured != nullptr ? *measured : model);
  return std::make_unique<ArchivedStatistics>(std::move(archive), cost, measured == nullptr);
}

std::unique_ptr<SequentialStatistics> sequential_statistics(const ModelFolder& model, CalibrationTexts texts,
                                                            BlockOrder order, const CalibrationOptions& options,
                                                            ComputeType compute, Workspace work) {
  return std::make_unique<StatisticsAsCompressed>(model, std::move(texts), order, options, compute, std::move(work));
}

}  // namespace lcomp
