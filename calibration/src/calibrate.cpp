#include "lcomp/calibration/calibrate.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "archive_layout.h"
#include "block_pass.h"
#include "lcomp/models/model_identity.h"
#include "residual_checkpoint.h"

namespace lcomp {
namespace {

constexpr int values_version = 1;  // raised when the same model, texts and options give other values

std::vector<double> count_tokens(const TokenBatch& batch, std::size_t vocab_size) {
  std::vector<double> counts(vocab_size, 0.0);
  for (const std::int32_t id : batch.ids) counts[static_cast<std::size_t>(id)] += 1;
  return counts;
}

// Statistics of the layers that the archive lacks, from the first such layer on.
class Calibration {
 public:
  Calibration(Decoder& decoder, const TokenBatch& batch, const CalibrationOptions& options,
              const std::filesystem::path& folder, const CalibrationKey& key)
      : batch_(batch),
        archive_(Archive::open(folder, key.text())),
        pass_(decoder, batch, options, folder),
        checkpoint_(folder, key.text()),
        layers_(decoder.config().num_layers()) {
    archive_.lock();
  }

  void run() {
    std::size_t next = 0;
    while (next < layers_ && archive_.contains(layer_item(next))) ++next;
    restore(next);
    for (std::size_t layer = next; layer < layers_; ++layer) finish_layer(layer);
    finish_head();
  }

 private:
  std::vector<InputGroup> groups(std::size_t layer) const { return input_groups(pass_.model(), layer); }

  // Brings the stream to layer `next`: from the file of that layer, or, should it be lost, from an earlier one.
  void restore(std::size_t next) {
    const auto found = checkpoint_.load_last(next, pass_.stream());
    const std::size_t first = found.value_or(0);
    std::uint64_t steps = (next - first) * pass_.steps() + pass_.steps();
    for (std::size_t layer = next; layer < layers_; ++layer) steps += pass_.steps(groups(layer));
    pass_.begin_progress(next == 0 ? "calibration" : "calibration, resumed", steps);
    if (!found) pass_.embed();
    for (std::size_t layer = first; layer < next; ++layer) {
      pass_.run(layer, {}, nullptr, true, [](const InputGroup&, InputAccumulator&) {});
    }
  }

  // In this order, so that there is always a file to go on from.
  void finish_layer(std::size_t layer) {
    std::vector<StoredInput> inputs;
    pass_.run(layer, groups(layer), nullptr, true, [&](const InputGroup& group, InputAccumulator& sums) {
      inputs.push_back(write_input(archive_, group, sums));
    });
    checkpoint_.save(layer + 1, pass_.stream());
    write_inputs(archive_, layer_item(layer), inputs);
    checkpoint_.remove_all(layer + 1);
  }

  void finish_head() {
    InputAccumulator sums = pass_.gather_head();
    const StoredInput input = write_input(archive_, head_group(pass_.model()), sums);
    if (!archive_.contains(token_counts_item)) {
      archive_.write(token_counts_item, count_tokens(batch_, pass_.model().config.vocab_size));
    }
    write_inputs(archive_, head_item, {input});
    checkpoint_.remove_all(layers_ + 1);
  }

  const TokenBatch& batch_;
  Archive archive_;
  BlockPass pass_;
  ResidualCheckpoint checkpoint_;
  std::size_t layers_;
};

}  // namespace

CalibrationKey calibration_key(const ModelFolder& model, ComputeType compute, const TokenBatch& batch,
                               const CalibrationOptions& options) {
  CalibrationKey key;
  key.model = model_identity(model);
  key.texts = hash_tokens(batch);
  key.options =
      fmt::format("storage {}, compute {}, {} tokens at once, version {}", name(options.storage),
                  compute == ComputeType::bfloat16 ? "bfloat16" : "float32", options.tokens_at_once, values_version);
  return key;
}

CalibrationArchive calibrate(Decoder& decoder, const TokenBatch& batch, const std::filesystem::path& archive,
                             const CalibrationOptions& options) {
  const CalibrationKey key = calibration_key(decoder.model(), decoder.compute(), batch, options);
  const auto found = read_key(archive);
  if (found) require_same(*found, key, archive.string());
  if (!found || !Archive::open(archive, key.text()).contains(head_item)) {
    Calibration(decoder, batch, options, archive, key).run();
  }
  return CalibrationArchive::open(archive);
}

}  // namespace lcomp
