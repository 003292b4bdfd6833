#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "input_groups.h"
#include "lcomp/calibration/calibration_options.h"
#include "lcomp/calibration/input_statistics.h"
#include "lcomp/core/progress.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/forward/residual_stream.h"

namespace lcomp {

// Takes the residual stream of all tokens through one block after another, some thousand tokens (whole sequences) at a
// time, so that only these are in float32. How sequences are grouped depends on their lengths and tokens_at_once alone.
class BlockPass {
 public:
  // The decoder and the batch must outlive this. Throws Error for a batch without tokens or with an empty sequence.
  BlockPass(Decoder& decoder, const TokenBatch& batch, const CalibrationOptions& options,
            const std::filesystem::path& spill_folder);

  ResidualStream& stream() { return stream_; }
  const ModelFolder& model() const { return decoder_.model(); }

  // Progress steps that a call of run() or gather_head() reports.
  std::uint64_t steps(std::span<const InputGroup> groups) const { return batches(groups).size() * slices_.size(); }
  std::uint64_t steps() const { return slices_.size(); }
  void begin_progress(const std::string& label, std::uint64_t steps);

  // The residual stream before the first block.
  void embed();

  // Runs block `layer` on the stream, with weights from `weights` where given, and hands over the sums of each group of
  // `groups` (of this layer) in order. With `advance` the block's outputs become the stream; else it stays as it was.
  using Use = std::function<void(const InputGroup&, InputAccumulator&)>;
  void run(std::size_t layer, std::span<const InputGroup> groups, const TensorSource* weights, bool advance,
           const Use& use);

  // Sums of the states after the final norm. The stream stays as it was.
  InputAccumulator gather_head();

 private:
  struct Slice {
    std::size_t first_sequence = 0, sequences = 0, first_token = 0, tokens = 0;
  };
  static std::vector<Slice> cut(const TokenBatch& batch, std::size_t tokens_at_once);
  std::vector<std::span<const InputGroup>> batches(std::span<const InputGroup> groups) const;
  TokenBatch tokens_of(const Slice& slice) const;
  std::string place(std::size_t token) const;
  void step();

  Decoder& decoder_;
  const TokenBatch& batch_;
  CalibrationOptions options_;
  std::vector<Slice> slices_;
  ResidualStream stream_;
  Matrix states_;  // of the largest slice
  std::optional<Progress> progress_;
  std::string progress_label_;
  std::size_t layer_ = 0;

  class Visitor;
};

}  // namespace lcomp
