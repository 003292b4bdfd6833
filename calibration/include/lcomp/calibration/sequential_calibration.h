#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lcomp/archive/workspace.h"
#include "lcomp/calibration/calibration_key.h"
#include "lcomp/calibration/calibration_options.h"
#include "lcomp/calibration/input_statistics.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// Which weights of a block are already replaced when the statistics of the others are taken.
enum class BlockOrder {
  whole_block,  // none: statistics of all linear layers at once, one stage a block
  by_stage,     // "true sequential" (GPTQ's reference code): four stages, each on the outputs of the ones before,
                //   q/k/v; attention output; gate/up (and router); down
};

// Statistics for compression that goes through the model block by block, each calibrated on the outputs of the already
// compressed ones.
//   SequentialCalibration calibration(decoder, batch, BlockOrder::by_stage);
//   while (!calibration.finished()) {
//     for (std::size_t stage = 0; stage < calibration.stages(); ++stage) {
//       for (const InputStatistics& input : calibration.collect(stage, weights)) {
//         // quantize input.components with input.view(), and let `weights` give their decoded values from now on
//       }
//     }
//     calibration.advance(weights);
//   }
//   InputStatistics head = calibration.collect_head();
// `weights` has the names and shapes of the model's tensors: quantized values where there are some, the model's own for
// the rest (only those of the block at work are read). With unchanged weights the statistics are those of calibrate(),
// to the bit. What is said there of memory, determinism and errors holds here. Cost of a block: with whole_block two
// forward passes over it; by stage, three and two thirds.
class SequentialCalibration {
 public:
  // The decoder must outlive this.
  SequentialCalibration(Decoder& decoder, TokenBatch batch, BlockOrder order, const CalibrationOptions& options = {});
  // The same, with the residual stream kept in `work` after each block, so that after kill -9 the next object for the
  // same work begins at the block where it stopped; layer() says which, and the weights of the ones before are the
  // caller's to find. `key` is that of the original model, the calibration data and options (calibration_key()); the
  // key of `work` says what else decides the quantized weights, such as the compression plan. Throws as
  // Workspace::claim().
  SequentialCalibration(Decoder& decoder, TokenBatch batch, BlockOrder order, const CalibrationOptions& options,
                        CalibrationKey key, const Workspace& work);
  ~SequentialCalibration();
  SequentialCalibration(SequentialCalibration&&) noexcept;
  SequentialCalibration& operator=(SequentialCalibration&&) noexcept;

  std::size_t layer() const;  // the block at work
  bool finished() const;      // all blocks are behind
  std::size_t stages() const;
  // Components of a stage of the block at work, as collect() groups them.
  std::vector<std::vector<std::string>> components(std::size_t stage) const;

  // Statistics of the linear layers of one stage, on this block's input and with these weights. May be repeated.
  std::vector<InputStatistics> collect(std::size_t stage, const TensorSource& weights);
  // Runs the block with its final weights; its outputs are the next block's input.
  void advance(const TensorSource& weights);
  // Statistics of the output head's input, when finished. Deletes nothing: call it as often as needed.
  InputStatistics collect_head();
  // Deletes what is kept in the folder: the work is done.
  void discard_checkpoint();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcomp
