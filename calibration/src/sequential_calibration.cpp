#include "lcomp/calibration/sequential_calibration.h"

#include <fmt/format.h>
#include <cassert>

#include <optional>
#include <utility>

#include "block_pass.h"
#include "lcomp/core/error.h"
#include "residual_checkpoint.h"

namespace lcomp {

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
    std::vector<InputGroup> groups = input_groups(decoder.model(), layer);
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
                                             const CalibrationOptions& options, CalibrationKey key,
                                             const Workspace& work) {
  key.options += order == BlockOrder::by_stage ? ", by stage" : ", whole block";
  const Workspace stream = work.with_key(fmt::format("{}\n{}", work.key(), key.text()));
  stream.claim();
  state_ = std::make_unique<State>(decoder, std::move(batch), order, options, stream.folder());
  state_->checkpoint.emplace(stream.folder(), stream.key());
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
