#include "lcomp/calibration/calibration_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "archive_layout.h"
#include "lcomp/core/error.h"
#include "lcomp/models/model_identity.h"
#include "sensitivity_layout.h"

namespace lcomp {

struct CalibrationArchive::State {
  State(std::filesystem::path folder, CalibrationKey calibration_key)
      : path(std::move(folder)), key(std::move(calibration_key)), archive(Archive::open(path, key.text())) {}

  std::filesystem::path path;
  CalibrationKey key;
  Archive archive;
  std::vector<StoredInput> inputs;
  std::map<std::string, std::size_t, std::less<>> input_of;  // component -> index
  std::vector<double> token_counts;
  std::mutex mutex;
  std::map<std::size_t, std::weak_ptr<const InputStatistics>> held;
  std::size_t layers = 0;

  // What is stored of each component; nothing when the pass was not finished.
  std::vector<StoredSensitivity> sensitivities(SensitivityCost cost) const {
    std::vector<StoredSensitivity> all;
    if (!archive.contains(embedding_item(cost))) return all;
    const auto add_item = [&](const std::string& item) {
      if (!archive.contains(item)) return;  // a tied head has none
      for (StoredSensitivity& s : read_sensitivities(archive, item, path.string())) all.push_back(std::move(s));
    };
    for (std::size_t layer = 0; layer <= layers; ++layer) add_item(sensitivity_layer_item(cost, layer));
    add_item(embedding_item(cost));
    return all;
  }

  StoredSensitivity sensitivity(SensitivityCost cost, std::string_view component) const {
    const std::vector<StoredSensitivity> all = sensitivities(cost);
    if (all.empty()) {
      throw Error({path.string(), fmt::format("no sensitivities ({})", name(cost)), "",
                   fmt::format("calibrate with --sensitivity {}", name(cost))});
    }
    const auto found = std::ranges::find(all, component, &StoredSensitivity::component);
    if (found == all.end()) {
      throw Error({path.string(), fmt::format("no sensitivity of \"{}\"", component),
                   fmt::format("a component such as \"{}\"", all.front().component), ""});
    }
    return *found;
  }

  void add(std::vector<StoredInput> more) {
    for (StoredInput& input : more) {
      for (const std::string& component : input.components) input_of.emplace(component, inputs.size());
      inputs.push_back(std::move(input));
    }
  }
};

CalibrationArchive::CalibrationArchive() = default;
CalibrationArchive::~CalibrationArchive() = default;
CalibrationArchive::CalibrationArchive(CalibrationArchive&&) noexcept = default;
CalibrationArchive& CalibrationArchive::operator=(CalibrationArchive&&) noexcept = default;

CalibrationArchive CalibrationArchive::open(const std::filesystem::path& path) {
  const auto key = read_key(path);
  if (!key)
    throw Error({path.string(), "no archive.json", "a folder of calibration statistics", "make one by calibrating"});
  CalibrationArchive opened;
  opened.state_ = std::make_unique<State>(path, *key);
  State& s = *opened.state_;
  for (; s.archive.contains(layer_item(s.layers)); ++s.layers)
    s.add(read_inputs(s.archive, layer_item(s.layers), path.string()));
  if (!s.archive.contains(head_item)) {
    throw Error({path.string(), fmt::format("calibration that is not finished: {} layers are done", s.layers), "",
                 "calibrate again with the same options, and it goes on there"});
  }
  s.add(read_inputs(s.archive, head_item, path.string()));
  s.token_counts = s.archive.read_doubles(token_counts_item);
  return opened;
}

const CalibrationKey& CalibrationArchive::key() const { return state_->key; }

void CalibrationArchive::require_model(const ModelFolder& model) const {
  CalibrationKey expected = state_->key;
  expected.model = model_identity(model);
  require_same(state_->key, expected, state_->path.string());
}

std::uint64_t CalibrationArchive::tokens() const { return state_->inputs.back().tokens; }

std::vector<std::string> CalibrationArchive::components() const {
  std::vector<std::string> names;
  for (const StoredInput& input : state_->inputs) {
    names.insert(names.end(), input.components.begin(), input.components.end());
  }
  return names;
}

bool CalibrationArchive::contains(std::string_view component) const { return state_->input_of.contains(component); }

std::shared_ptr<const InputStatistics> CalibrationArchive::statistics(std::string_view component) const {
  State& s = *state_;
  const auto found = s.input_of.find(component);
  if (found == s.input_of.end()) {
    throw Error({s.path.string(), fmt::format("no statistics of \"{}\"", component),
                 fmt::format("a linear of the calibrated model, such as \"{}\"", s.inputs.front().components.front()),
                 ""});
  }
  const std::lock_guard lock(s.mutex);
  std::weak_ptr<const InputStatistics>& held = s.held[found->second];
  if (auto statistics = held.lock()) return statistics;
  auto statistics = std::make_shared<const InputStatistics>(read_input(s.archive, s.inputs[found->second]));
  held = statistics;
  return statistics;
}

const std::vector<double>& CalibrationArchive::token_counts() const { return state_->token_counts; }

bool CalibrationArchive::has_sensitivities(SensitivityCost cost) const {
  return state_->archive.contains(embedding_item(cost));
}

std::vector<std::string> CalibrationArchive::sensitive_components(SensitivityCost cost) const {
  std::vector<std::string> names;
  for (const StoredSensitivity& s : state_->sensitivities(cost)) names.push_back(s.component);
  return names;
}

Sensitivity CalibrationArchive::sensitivity(SensitivityCost cost, std::string_view component) const {
  return read_sensitivity(state_->archive, cost, state_->sensitivity(cost, component));
}

std::size_t CalibrationArchive::guided_groups(SensitivityCost cost, std::string_view component) const {
  return state_->sensitivity(cost, component).groups;
}

Matrix CalibrationArchive::guided_hessian(SensitivityCost cost, std::string_view component, std::size_t group) const {
  const StoredSensitivity stored = state_->sensitivity(cost, component);
  if (group >= stored.groups) {
    throw Error({state_->path.string(), fmt::format("row group {} of {}", group, stored.component),
                 fmt::format("less than {}", stored.groups), ""});
  }
  return read_guided_hessian(state_->archive, cost, stored, group);
}

Matrix CalibrationArchive::guided_hessian(SensitivityCost cost, std::string_view component) const {
  const StoredSensitivity stored = state_->sensitivity(cost, component);
  Matrix mean(stored.in_features, stored.in_features);
  mean.fill(0);
  for (std::size_t k = 0; k < stored.groups; ++k) {
    const Matrix hessian = read_guided_hessian(state_->archive, cost, stored, k);
    const std::size_t rows = row_group_begin(stored.out_features, stored.groups, k + 1) -
                             row_group_begin(stored.out_features, stored.groups, k);
    const auto share = static_cast<float>(static_cast<double>(rows) / static_cast<double>(stored.out_features));
    for (std::size_t e = 0; e < mean.size(); ++e) mean.data()[e] += share * hessian.data()[e];
  }
  return mean;
}

}  // namespace lcomp
