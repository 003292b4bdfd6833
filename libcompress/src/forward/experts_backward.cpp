#include "forward/experts_backward.h"

#include <algorithm>
#include <array>

#include "forward/block_forward.h"
#include "forward/token_chunks.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

// Rows that are worth handing to another thread.
std::size_t rows_per_task(std::size_t width) { return std::max<std::size_t>(1, 16384 / width); }

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += static_cast<double>(a[j]) * b[j];
  return sum;
}

}  // namespace

void ExpertsBackward::run(const BackwardContext& context, const BlockSlices& slices, NormBackward& norm,
                          std::span<const std::size_t> tokens, ConstMatrixView states, MatrixView<float> gradient) {
  const std::size_t hidden = states.cols(), experts = context.config.num_experts;
  router_.read(context, std::array{&slices.router}, Directions::both);
  chosen_.assign(experts, {});
  const std::size_t rows = std::min(chunk_tokens, tokens.size());
  Matrix logits(rows, experts);
  for (std::size_t begin = 0; begin < tokens.size(); begin += chunk_tokens) {
    const std::size_t count = std::min(chunk_tokens, tokens.size() - begin);
    const MatrixView<float> normed = shaped(gathered_, count, hidden);
    norm.forward(context, states.rows_range(begin, count), normed);
    router_.forward(context, normed, logits.view().rows_range(0, count));
    choose_experts(logits.view().rows_range(0, count), begin, context.config.experts_per_token, chosen_);
  }

  Matrix share_gradients(tokens.size(), experts);  // dp
  Matrix normed_gradient(tokens.size(), hidden);   // dn
  share_gradients.fill(0);
  normed_gradient.fill(0);
  for (std::size_t e = 0; e < experts; ++e)
    run_expert(context, slices, norm, e, states, gradient, share_gradients.view(), normed_gradient.view());

  // dz in place of dp.
  std::vector<double> means(tokens.size());  // sum of p dp over the chosen
  for (std::size_t e = 0; e < experts; ++e) {
    for (std::size_t i = 0; i < chosen_[e].tokens.size(); ++i) {
      const std::size_t token = chosen_[e].tokens[i];
      means[token] += static_cast<double>(chosen_[e].shares[i]) * share_gradients(token, e);
    }
  }
  for (std::size_t e = 0; e < experts; ++e) {
    for (std::size_t i = 0; i < chosen_[e].tokens.size(); ++i) {
      float& value = share_gradients(chosen_[e].tokens[i], e);
      value = static_cast<float>(chosen_[e].shares[i] * (value - means[chosen_[e].tokens[i]]));
    }
  }
  for (std::size_t begin = 0; begin < tokens.size(); begin += chunk_tokens) {
    const std::size_t count = std::min(chunk_tokens, tokens.size() - begin);
    const MatrixView<float> normed = shaped(gathered_, count, hidden), through = shaped(out_, count, hidden);
    const ConstMatrixView state = states.rows_range(begin, count);
    const MatrixView<float> sum = normed_gradient.view().rows_range(begin, count);
    norm.forward(context, state, normed);
    router_.backward(context, tokens.subspan(begin, count), normed, share_gradients.view().rows_range(begin, count),
                     through);
    add(through, sum);
    norm.backward(context, state, sum, sum);
    add(sum, gradient.rows_range(begin, count));
  }
}

void ExpertsBackward::run_expert(const BackwardContext& context, const BlockSlices& slices, const NormBackward& norm,
                                 std::size_t expert, ConstMatrixView states, ConstMatrixView gradient,
                                 MatrixView<float> share_gradients, MatrixView<float> normed_gradient) {
  const std::size_t hidden = states.cols(), grain = rows_per_task(hidden);
  const ExpertTokens& chosen = chosen_[expert];
  if (chosen.tokens.empty()) {
    expert_.begin(context, slices.experts[expert]);
  } else {
    expert_.read(context, slices.experts[expert], Directions::both);
  }
  for (std::size_t begin = 0; begin < chosen.tokens.size(); begin += chunk_tokens) {
    const std::size_t count = std::min(chunk_tokens, chosen.tokens.size() - begin);
    const std::span<const std::size_t> tokens = std::span(chosen.tokens).subspan(begin, count);
    const std::span<const float> shares = std::span(chosen.shares).subspan(begin, count);
    const MatrixView<float> normed = shaped(gathered_, count, hidden), out = shaped(out_, count, hidden);
    const MatrixView<float> out_gradient = shaped(gathered_gradient_, count, hidden);
    parallel_for(
        0, count, [&](std::size_t i) { std::ranges::copy(states.row(tokens[i]), normed.row(i).begin()); }, grain);
    norm.forward(context, normed, normed);
    const MatrixView<float> inner = shaped(buffers_.inner, count, MlpBackward::inner_size(context.config));
    expert_.forward_inner(context, normed, inner);
    const MatrixView<float> activated = expert_.activate(context, inner, buffers_);
    expert_.forward_out(context, activated, out);
    parallel_for(
        0, count,
        [&](std::size_t i) {
          const std::span<const float> dy = gradient.row(tokens[i]);
          share_gradients(tokens[i], expert) = static_cast<float>(dot(dy, out.row(i)));
          for (std::size_t j = 0; j < hidden; ++j) out_gradient(i, j) = shares[i] * dy[j];
        },
        grain);
    expert_.backward(context, tokens, normed, inner, activated, out_gradient, buffers_, out);
    parallel_for(
        0, count,
        [&](std::size_t i) {
          const std::span<float> sum = normed_gradient.row(tokens[i]);
          for (std::size_t j = 0; j < hidden; ++j) sum[j] += out(i, j);
        },
        grain);
  }
  expert_.hand_over(context);
}

void ExpertsBackward::hand_over(const BackwardContext& context) const { router_.hand_over(context); }

void ExpertsBackward::append_names(const DecoderConfig& config, const BlockSlices& slices,
                                   std::vector<std::string>& names) {
  for (const MlpSlices& expert : slices.experts) MlpBackward::append_names(config, expert, names);
  LinearGradientSums::append_names(std::array{&slices.router}, names);
}

}  // namespace lcomp
