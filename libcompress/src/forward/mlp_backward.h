#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "forward/linear_backward.h"
#include "lcomp/core/matrix.h"

namespace lcomp {

// Working memory of a chunk of tokens, kept from chunk to chunk.
struct MlpBackwardBuffers {
  AlignedBuffer<float> inner, activated, activated_gradient;
};

// down(act(gate(x)) * up(x)), or down(act(up(x))), in both directions.
class MlpBackward {
 public:
  void read(const BackwardContext& context, const MlpSlices& slices, Directions directions);
  // Without weights: for an expert that no token chose.
  void begin(const BackwardContext& context, const MlpSlices& slices);
  // Of `inner`: gate and up, or up alone.
  static std::size_t inner_size(const DecoderConfig& config) {
    return (config.gated_mlp ? 2 : 1) * config.intermediate_size;
  }

  // inner = [gate(x) | up(x)], or up(x). x: [tokens, hidden]
  void forward_inner(const BackwardContext& context, ConstMatrixView x, MatrixView<float> inner) const;
  // The input of `down`, in the buffers.
  MatrixView<float> activate(const BackwardContext& context, ConstMatrixView inner, MlpBackwardBuffers& buffers) const;
  void forward_out(const BackwardContext& context, ConstMatrixView activated, MatrixView<float> out) const;
  // dx from the gradient dy of the output. inner and activated are what the functions above gave for x; inner is
  // overwritten. dx may be the memory of dy.
  void backward(const BackwardContext& context, std::span<const std::size_t> tokens, ConstMatrixView x,
                MatrixView<float> inner, ConstMatrixView activated, ConstMatrixView dy, MlpBackwardBuffers& buffers,
                MatrixView<float> dx);
  void hand_over(const BackwardContext& context) const;

  static void append_names(const DecoderConfig& config, const MlpSlices& slices, std::vector<std::string>& names);

 private:
  LinearBackward gate_up_, down_;
};

}  // namespace lcomp
