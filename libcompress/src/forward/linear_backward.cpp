#include "forward/linear_backward.h"

#include <array>

#include "forward/norm_backward.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/compressed_weight_source.h"

namespace lcomp {

namespace {

bool rounds_inputs(const BackwardContext& context) {
  const bool head = context.layer == context.config.num_layers();
  return context.activations != nullptr && (!head || context.activations->head);
}

// Rounding is that of inputs as they are, not of what a transformed weight would make of them.
void require_untransformed(const TensorSource& weights, std::span<const LinearSlices* const> parts) {
  const auto* stored = dynamic_cast<const CompressedWeightSource*>(&weights);
  for (const LinearSlices* part : parts) {
    if (stored == nullptr || !std::holds_alternative<TransformedView>(stored->weight(part->weight.tensor))) continue;
    throw Error({weights.where() + ": " + part->weight.tensor,
                 "gradients with rounded activations of a weight with transforms", "a weight without transforms",
                 "leave out \"transforms\" or \"activations\""});
  }
}

}  // namespace

void LinearBackward::read(const BackwardContext& context, std::span<const LinearSlices* const> parts,
                          Directions directions) {
  if (rounds_inputs(context)) require_untransformed(context.weights, parts);
  switch (directions) {
    case Directions::forward:
      context.reader.read(context.weights, parts, context.multiplier, forward_);
      return;
    case Directions::backward:
      context.reader.read_transposed(context.weights, parts, context.multiplier, transposed_);
      break;
    case Directions::both:
      context.reader.read(context.weights, parts, context.multiplier, forward_, transposed_);
      break;
  }
  begin(context, parts);
  components_.clear();
  std::size_t begin = 0;
  for (const LinearSlices* part : parts) {
    const std::string name = component_names(std::array{part}).front();
    if (components_.empty() || components_.back().component != name) components_.push_back({name, begin, 0});
    components_.back().count += part->weight.rows;
    begin += part->weight.rows;
  }
}

void LinearBackward::begin(const BackwardContext& context, std::span<const LinearSlices* const> parts) {
  sums_.begin(parts, context.visitor);
}

ConstMatrixView LinearBackward::input(const BackwardContext& context, ConstMatrixView x) const {
  if (!rounds_inputs(context)) return x;
  quantize_rows(x, context.activations->symmetric, codes_);
  if (rounded_.size() < x.size()) rounded_ = AlignedBuffer<float>(x.size());
  parallel_for(
      0, x.rows(),
      [&](std::size_t i) {
        const std::uint8_t* codes = codes_.row(i);
        const float scale = codes_.scales[i];
        const std::int32_t zero = codes_.zero_points[i];
        float* out = rounded_.data() + i * x.cols();
        for (std::size_t j = 0; j < x.cols(); ++j) out[j] = scale * static_cast<float>(codes[j] - zero);
      },
      16);
  return {rounded_.data(), x.rows(), x.cols()};
}

void LinearBackward::forward(const BackwardContext& context, ConstMatrixView x, MatrixView<float> y) const {
  context.multiplier.multiply(input(context, x), forward_, y);
}

void LinearBackward::backward(const BackwardContext& context, std::span<const std::size_t> tokens, ConstMatrixView x,
                              ConstMatrixView dy, MatrixView<float> dx) {
  const ConstMatrixView in = input(context, x);
  context.visitor.linear_gradient({context.layer, components_, tokens, in, dy});
  sums_.add(in, dy);
  context.multiplier.multiply(dy, transposed_, dx);
}

void LinearBackward::hand_over(const BackwardContext& context) const {
  sums_.hand_over(context.weights, context.visitor);
}

void NormBackward::read(const BackwardContext& context, const NormSlices& slices) {
  context.reader.read(context.weights, slices, context.config.norm, weights_);
  sums_.begin(slices, context.visitor);
}

void NormBackward::forward(const BackwardContext& context, ConstMatrixView x, MatrixView<float> y) const {
  normalize(context.config.norm, context.config.norm_epsilon, weights_, x, y);
}

void NormBackward::backward(const BackwardContext& context, ConstMatrixView x, ConstMatrixView dy,
                            MatrixView<float> dx) {
  normalize_backward(context.config.norm, context.config.norm_epsilon, weights_, x, dy, dx, sums_.gain(), sums_.bias());
}

void NormBackward::hand_over(const BackwardContext& context) const {
  sums_.hand_over(context.weights, context.visitor);
}

}  // namespace lcomp
