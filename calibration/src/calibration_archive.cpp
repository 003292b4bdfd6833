#include "lcomp/calibration/calibration_archive.h"

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <utility>

#include "archive_layout.h"
#include "lcomp/core/error.h"

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
  std::size_t layers = 0;
  for (; s.archive.contains(layer_item(layers)); ++layers)
    s.add(read_inputs(s.archive, layer_item(layers), path.string()));
  if (!s.archive.contains(head_item)) {
    throw Error({path.string(), fmt::format("calibration that is not finished: {} layers are done", layers), "",
                 "calibrate again with the same options, and it goes on there"});
  }
  s.add(read_inputs(s.archive, head_item, path.string()));
  s.token_counts = s.archive.read_doubles(token_counts_item);
  return opened;
}

const CalibrationKey& CalibrationArchive::key() const { return state_->key; }

void CalibrationArchive::require_model(const ModelFolder& model) const {
  CalibrationKey expected = state_->key;
  expected.model = hash_model_content(model);
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

}  // namespace lcomp
