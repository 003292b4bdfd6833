#include "forward/mlp_backward.h"

#include <algorithm>
#include <array>

#include "forward/activation.h"
#include "forward/activation_backward.h"
#include "forward/block_forward.h"
#include "lcomp/core/parallel.h"

namespace lcomp {

namespace {

// Gate and up, or up alone.
std::vector<const LinearSlices*> first_parts(const DecoderConfig& config, const MlpSlices& slices) {
  if (config.gated_mlp) return {&slices.gate, &slices.up};
  return {&slices.up};
}

}  // namespace

void MlpBackward::read(const BackwardContext& context, const MlpSlices& slices, Directions directions) {
  gate_up_.read(context, first_parts(context.config, slices), directions);
  down_.read(context, std::array{&slices.down}, directions);
}

void MlpBackward::begin(const BackwardContext& context, const MlpSlices& slices) {
  gate_up_.begin(context, first_parts(context.config, slices));
  down_.begin(context, std::array{&slices.down});
}

void MlpBackward::forward_inner(const BackwardContext& context, ConstMatrixView x, MatrixView<float> inner) const {
  gate_up_.forward(context, x, inner);
}

MatrixView<float> MlpBackward::activate(const BackwardContext& context, ConstMatrixView inner,
                                        MlpBackwardBuffers& buffers) const {
  const DecoderConfig& config = context.config;
  const MatrixView<float> activated = shaped(buffers.activated, inner.rows(), config.intermediate_size);
  if (config.gated_mlp) {
    gated_activation(config.activation, inner, activated);
    return activated;
  }
  parallel_chunks(0, inner.size(), 1 << 15, [&](std::size_t begin, std::size_t end) {
    std::copy(inner.data() + begin, inner.data() + end, activated.data() + begin);
  });
  apply_activation(config.activation, activated);
  return activated;
}

void MlpBackward::forward_out(const BackwardContext& context, ConstMatrixView activated, MatrixView<float> out) const {
  down_.forward(context, activated, out);
}

void MlpBackward::backward(const BackwardContext& context, std::span<const std::size_t> tokens, ConstMatrixView x,
                           MatrixView<float> inner, ConstMatrixView activated, ConstMatrixView dy,
                           MlpBackwardBuffers& buffers, MatrixView<float> dx) {
  const DecoderConfig& config = context.config;
  const MatrixView<float> gradient = shaped(buffers.activated_gradient, x.rows(), config.intermediate_size);
  down_.backward(context, tokens, activated, dy, gradient);
  if (config.gated_mlp) {
    gated_activation_backward(config.activation, inner, gradient, inner);
  } else {
    activation_backward(config.activation, inner, gradient, inner);
  }
  gate_up_.backward(context, tokens, x, inner, dx);
}

void MlpBackward::hand_over(const BackwardContext& context) const {
  gate_up_.hand_over(context);
  down_.hand_over(context);
}

void MlpBackward::append_names(const DecoderConfig& config, const MlpSlices& slices, std::vector<std::string>& names) {
  LinearGradientSums::append_names(first_parts(config, slices), names);
  LinearGradientSums::append_names(std::array{&slices.down}, names);
}

}  // namespace lcomp
