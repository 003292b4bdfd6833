#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "linear_backward.h"

namespace lcomp {

// Working memory of a chunk of tokens, kept from chunk to chunk.
struct MlpBackwardBuffers {
  AlignedBuffer<float> inner, activated, activated_gradient;
};

// down(act(gate(x)) * up(x)), or down(act(up(x))), in both directions.
class MlpBackward {
 public:
  void read(const BackwardContext& context, const MlpSlices& slices);
  // Without weights: for an expert that no token chose.
  void begin(const BackwardContext& context, const MlpSlices& slices);
  // Up to the input of `down`, which stays in the buffers: x: [tokens, hidden]
  void forward_inside(const BackwardContext& context, ConstMatrixView x, MlpBackwardBuffers& buffers) const;
  // out [tokens, hidden] from what forward_inside() left.
  void forward_out(const BackwardContext& context, MlpBackwardBuffers& buffers, MatrixView<float> out) const;
  // dx from the gradient dy of the output, after forward_inside() of the same x; overwrites the buffers. dx may be the
  // memory of dy.
  void backward(const BackwardContext& context, std::span<const std::size_t> tokens, ConstMatrixView x,
                ConstMatrixView dy, MlpBackwardBuffers& buffers, MatrixView<float> dx);
  void hand_over(const BackwardContext& context) const;

  static void append_names(const DecoderConfig& config, const MlpSlices& slices, std::vector<std::string>& names);

 private:
  LinearBackward gate_up_, down_;
};

}  // namespace lcomp
