#pragma once

#include <cstddef>
#include <string>

#include "lcomp/forward/decoder.h"
#include "lcomp/pipeline/compression_job.h"
#include "runner/experiment_config.h"

namespace lcomp {

// How long parts of an experiment take on this machine, from a measurement of some seconds: one block of the original
// on two short batches, the head, and each method on two slices of one weight. Rough: within a factor of two or three.
// Random ids and a made-up Hessian stand for texts and calibration.
class TimeEstimate {
 public:
  // Throws Error as the model's forward pass does.
  explicit TimeEstimate(Decoder& original);

  // Forward passes over so many tokens, in so many passes through all blocks, with logits of so many positions.
  double forward(std::size_t tokens, std::size_t passes, std::size_t scored) const;
  // Compression of the whole model by one method at one size, calibration aside.
  double compression(const ExperimentMethod& method, const ExperimentSize& size) const;
  // Gathering Hessians over so many tokens; once for the original, or twice a model for those of the compressed blocks.
  double calibration(std::size_t tokens) const;
  // All of a job but statistics that aren't its own; `once`: one compression; learned: what it would learn is there.
  double job(const CompressionJob& job, double once, bool learned) const;
  // Gradients of a cost on so many tokens.
  double gradients(std::size_t tokens) const { return 3 * forward(tokens, 1, tokens); }

 private:
  Decoder& original_;
  double block_fixed_ = 0, block_token_ = 0;  // seconds: of one block, and for each token in it
  double head_row_ = 0;
};

// "about 40 s", "about 2 h 10 min".
std::string rough_duration(double seconds);

}  // namespace lcomp
