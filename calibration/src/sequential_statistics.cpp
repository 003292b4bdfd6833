#include "lcomp/calibration/compression_statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "compressed_tensors.h"
#include "input_groups.h"
#include "lcomp/calibration/calibrate.h"
#include "lcomp/core/error.h"

namespace lcomp {
namespace {

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
      for (const InputGroup& group : input_groups(model, layer)) {
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

std::unique_ptr<SequentialStatistics> sequential_statistics(const ModelFolder& model, CalibrationTexts texts,
                                                            BlockOrder order, const CalibrationOptions& options,
                                                            ComputeType compute, Workspace work) {
  return std::make_unique<StatisticsAsCompressed>(model, std::move(texts), order, options, compute, std::move(work));
}

}  // namespace lcomp
