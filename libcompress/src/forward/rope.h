#pragma once

#include <cstddef>
#include <vector>

#include "lcomp/models/decoder_config.h"

namespace lcomp {

// Inverse frequencies [rotary_dim / 2] of a rotary embedding, scaled as the config says. `long_sequence` chooses
// longrope's long factors; it means nothing for the others. The frequencies are rounded to float32, as the reference
// implementation does. Source: arXiv 2104.09864; llama3 scaling: transformers' modeling_rope_utils; longrope: arXiv
// 2402.13753.
std::vector<float> rope_frequencies(const RopeConfig& config, bool long_sequence);

// cos and sin of position * frequency, for positions 0, 1, ... as far as they were asked for. The angle is rounded to
// float32 before cos and sin are taken: at position 4096 that moves it by up to 2e-4, and models are compared with
// references that do so.
class RopeTable {
 public:
  RopeTable(const RopeConfig& config, bool long_sequence);

  void extend(std::size_t positions);  // makes positions 0 ... positions - 1 available
  std::size_t rotary_dim() const { return 2 * frequencies_.size(); }

  // Rotates the first rotary_dim values of a head in place: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin), where x2
  // lies rotary_dim / 2 behind x1.
  void rotate(std::size_t position, float* head) const;

  // The gradient with respect to rotate()'s input from the one with respect to its output, in place: rotate()
  // transposed, (g1, g2) -> (g1 cos + g2 sin, g2 cos - g1 sin). It undoes rotate() only where attention_factor is 1.
  void rotate_back(std::size_t position, float* head_gradient) const;

 private:
  std::vector<float> frequencies_;
  float factor_ = 1;
  std::vector<float> table_;  // [positions, 2, rotary_dim / 2]: cos, then sin
};

}  // namespace lcomp
