#include "lcomp/calibration/compression_statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

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

    const auto held = std::make_shared<HeldStatistics>();
    if (input) held->view = input->view();
    held->input = std::move(input);
    held->sensitivity = archive_.sensitivity(*cost_, component.name);
    if (archive_.guided_groups(*cost_, component.name) > 0) {
      held->guided_hessian = archive_.guided_hessian(*cost_, component.name);
    }
    held->sensitivity_view = {held->sensitivity.outputs, held->sensitivity.rows, held->sensitivity.columns,
                              held->guided_hessian.view(), component.kind == ComponentKind::embedding};
    held->view.sensitivity = &held->sensitivity_view;
    return {held, &held->view};
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

}  // namespace

std::unique_ptr<RandomAccessStatistics> archived_statistics(const ModelFolder& model, CalibrationArchive archive,
                                                            std::optional<SensitivityCost> cost,
                                                            const ModelFolder* measured) {
  if (measured != nullptr) require_same_components(*measured, model);
  archive.require_model(measured != nullptr ? *measured : model);
  return std::make_unique<ArchivedStatistics>(std::move(archive), cost, measured == nullptr);
}

}  // namespace lcomp
