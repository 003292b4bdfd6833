#include "lcomp/calibration/sequential_calibration.h"

#include <fmt/format.h>
#include <cassert>

#include <optional>
#include <system_error>
#include <utility>

#include "archive_layout.h"
#include "block_pass.h"
#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "residual_checkpoint.h"

namespace lcomp {
namespace {

constexpr const char* description_file = "sequential.json";

// Writes what the folder is for, or checks that it is for the same.
void claim_folder(const std::filesystem::path& folder, const CalibrationKey& key) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) {
    throw Error(ErrorKind::system, {folder.string(), "can't be made: " + failure.message(), "a folder", ""});
  }
  const std::filesystem::path file = folder / description_file;
  if (!std::filesystem::exists(file)) {
    write_text_file(file, nlohmann::json({{"format", "lcomp-sequential"}, {"key", key.text()}}).dump(1) + "\n");
    return;
  }
  const nlohmann::json json = parse_json_file(file);
  ConfigReader reader(json, file.string());
  reader.one_of("format", {"lcomp-sequential"});
  const std::string text = reader.string("key");
  reader.finish();
  const auto found = CalibrationKey::parse(text);
  if (!found) throw Error({file.string(), "a key that can't be read", "", "delete the folder, or choose another"});
  require_same(*found, key, folder.string());
}

}  // namespace

struct SequentialCalibration::State {
  State(Decoder& model_decoder, TokenBatch tokens, BlockOrder block_order, const CalibrationOptions& options,
        const std::filesystem::path& spill_folder)
      : decoder(model_decoder),
        batch(std::move(tokens)),
        order(block_order),
        pass(decoder, batch, options, spill_folder) {}

  Decoder& decoder;
  TokenBatch batch;
  BlockOrder order;
  BlockPass pass;
  std::optional<ResidualCheckpoint> checkpoint;
  std::size_t layer = 0;

  std::size_t layers() const { return decoder.config().num_layers(); }

  std::vector<InputGroup> groups(std::size_t stage) const {
    assert(layer < layers());
    std::vector<InputGroup> groups = input_groups(decoder.model().slices.blocks[layer]);
    if (order == BlockOrder::by_stage) std::erase_if(groups, [&](const InputGroup& g) { return g.stage != stage; });
    return groups;
  }

  void begin_progress() {
    const std::uint64_t collections = order == BlockOrder::by_stage ? block_stages : 1;
    pass.begin_progress(layer == 0 ? "calibration" : "calibration, resumed",
                        ((layers() - layer) * (collections + 1) + 1) * pass.steps());
  }
};

SequentialCalibration::SequentialCalibration(Decoder& decoder, TokenBatch batch, BlockOrder order,
                                             const CalibrationOptions& options)
    : state_(
          std::make_unique<State>(decoder, std::move(batch), order, options, std::filesystem::temp_directory_path())) {
  state_->begin_progress();
  state_->pass.embed();
}

SequentialCalibration::SequentialCalibration(Decoder& decoder, TokenBatch batch, BlockOrder order,
                                             const CalibrationOptions& options, const std::filesystem::path& folder,
                                             CalibrationKey key, const std::string& work) {
  key.options += fmt::format(", {}, {}", order == BlockOrder::by_stage ? "by stage" : "whole block", work);
  claim_folder(folder, key);
  state_ = std::make_unique<State>(decoder, std::move(batch), order, options, folder);
  state_->checkpoint.emplace(folder, key.text());
  const auto found = state_->checkpoint->load_last(state_->layers(), state_->pass.stream());
  state_->layer = found.value_or(0);
  state_->begin_progress();
  if (!found) state_->pass.embed();
}

SequentialCalibration::~SequentialCalibration() = default;
SequentialCalibration::SequentialCalibration(SequentialCalibration&&) noexcept = default;
SequentialCalibration& SequentialCalibration::operator=(SequentialCalibration&&) noexcept = default;

std::size_t SequentialCalibration::layer() const { return state_->layer; }
bool SequentialCalibration::finished() const { return state_->layer == state_->layers(); }
std::size_t SequentialCalibration::stages() const { return state_->order == BlockOrder::by_stage ? block_stages : 1; }

std::vector<std::vector<std::string>> SequentialCalibration::components(std::size_t stage) const {
  std::vector<std::vector<std::string>> names;
  for (InputGroup& group : state_->groups(stage)) names.push_back(std::move(group.components));
  return names;
}

std::vector<InputStatistics> SequentialCalibration::collect(std::size_t stage, const TensorSource& weights) {
  assert(stage < stages());
  std::vector<InputStatistics> collected;
  state_->pass.run(
      state_->layer, state_->groups(stage), &weights, false,
      [&](const InputGroup& group, InputAccumulator& sums) { collected.push_back(sums.statistics(group.components)); });
  return collected;
}

void SequentialCalibration::advance(const TensorSource& weights) {
  State& s = *state_;
  assert(s.layer < s.layers());
  s.pass.run(s.layer, {}, &weights, true, [](const InputGroup&, InputAccumulator&) {});
  s.layer += 1;
  if (!s.checkpoint) return;
  s.checkpoint->save(s.layer, s.pass.stream());
  s.checkpoint->remove_all(s.layer);
}

InputStatistics SequentialCalibration::collect_head() {
  assert(finished());
  return state_->pass.gather_head().statistics(head_group(state_->decoder.model()).components);
}

void SequentialCalibration::discard_checkpoint() {
  if (state_->checkpoint) state_->checkpoint->remove_all(state_->layers() + 1);
}

}  // namespace lcomp
