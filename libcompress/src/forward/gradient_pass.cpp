#include "forward/gradient_pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "forward/activation.h"
#include "forward/activation_backward.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/core/value_range.h"

namespace lcomp {
namespace {

// Refused before anything is allocated.
Decoder& checked(Decoder& decoder, const TokenBatch& batch, const GradientOptions& options) {
  const std::string where = decoder.model().path.string();
  if (decoder.compute() != ComputeType::float32) {
    throw Error({where, "gradients of products in bfloat16", "a decoder that computes in float32", ""});
  }
  if (decoder.model().activations) {
    throw Error({where, "gradients of a model with integer activations", "activations in floats",
                 "open the model without its activation setting"});
  }
  if (options.activations != nullptr && options.activations->is_static()) {
    throw Error({where, "gradients with activations on fixed ranges", "ranges of each token", ""});
  }
  if (options.activations != nullptr && decoder.config().num_experts != 0) {
    throw Error({where, "gradients with rounded activations of a mixture of experts", "a dense model", ""});
  }
  check_ids(batch.ids, decoder.config(), where);
  return decoder;
}

std::size_t longest_sequence(const TokenBatch& batch) {
  std::size_t longest = 0;
  for (std::size_t s = 0; s < batch.sequences(); ++s) longest = std::max(longest, batch.sequence(s).size());
  return longest;
}

std::filesystem::path spill_folder(const GradientOptions& options) {
  return options.spill_folder.empty() ? std::filesystem::temp_directory_path() : options.spill_folder;
}

}  // namespace

GradientPass::GradientPass(Decoder& decoder, const TokenBatch& batch, LogitCost& cost, GradientVisitor& visitor,
                           const GradientOptions& options)
    : state_(*checked(decoder, batch, options).state_),
      config_(decoder.config()),
      batch_(batch),
      cost_(cost),
      visitor_(visitor),
      options_(options),
      weights_(options.weights != nullptr ? *options.weights : *decoder.model().tensors),
      slices_(decoder.model().slices),
      decoder_(decoder),
      progress_(options.progress, options.progress_label, 3 * config_.num_layers()),
      head_slices_(config_.tied_head ? LinearSlices{slices_.embedding, {}} : slices_.head),
      tokens_(batch.tokens()),
      chunks_(cut_between_sequences(batch, options.tokens_at_once)),
      block_(tokens_, chunks_, state_.ropes),
      insides_(config_.num_layers()),
      inputs_(checked_multiply(config_.num_layers(), batch.tokens(), "block inputs"), config_.hidden_size,
              options.storage, options.memory_limit, spill_folder(options)) {
  std::iota(tokens_.begin(), tokens_.end(), 0);
  std::ranges::copy_if(tokens_, std::back_inserter(scored_tokens_), [&](std::size_t t) { return cost.needs(t); });
  if (scored_tokens_.empty()) {
    throw Error({decoder.model().path.string(),
                 fmt::format("a batch of {} sequences in which no token has a cost", batch.sequences()),
                 "at least one, such as a token with one after it", "give longer sequences"});
  }
}

BackwardContext GradientPass::context(std::size_t layer) {
  return {config_, weights_, state_.reader, state_.multiplier, visitor_, layer, options_.activations};
}

void GradientPass::require_finite(ConstMatrixView values, const std::string& what) const {
  if (value_range({values.data(), values.size()}).finite) return;
  throw Error({decoder_.model().path.string(), what + " holds NaN or infinity", "finite values",
               "the weights may be damaged, or overflow float32"});
}

double GradientPass::run() {
  forward();
  const double cost = run_head();
  if (config_.num_experts == 0) states_ = Matrix();
  run_blocks();
  run_embedding();
  return cost;
}

void GradientPass::run_block(std::size_t layer, MatrixView<float> states) {
  state_.ropes.extend(longest_sequence(batch_));
  block_.forward(context(layer), slices_.blocks[layer], states, insides_[layer]);
  require_finite(states, fmt::format("layer {}: its output", layer));
}

double GradientPass::run_block(std::size_t layer, ConstMatrixView input, ConstMatrixView target) {
  inputs_.write(layer * batch_.tokens(), input);
  states_ = Matrix(batch_.tokens(), config_.hidden_size);
  gradient_ = Matrix(batch_.tokens(), config_.hidden_size);
  std::copy_n(input.data(), input.size(), states_.data());
  run_block(layer, states_.view());
  // Sums over a fixed number of rows, in order.
  constexpr std::size_t rows = 16;
  std::vector<double> sums(divide_up(batch_.tokens(), rows), 0.0);
  const double count = static_cast<double>(input.size());
  const auto factor = static_cast<float>(2 / count);
  parallel_chunks(0, batch_.tokens(), rows, [&](std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t t = begin; t < end; ++t) {
      const std::span<const float> output = states_.row(t), wanted = target.row(t);
      const std::span<float> gradient = gradient_.row(t);
      for (std::size_t j = 0; j < output.size(); ++j) {
        const float difference = output[j] - wanted[j];
        sum += static_cast<double>(difference) * difference;
        gradient[j] = factor * difference;
      }
    }
    sums[begin / rows] = sum;
  });
  require_finite(gradient_.view(), fmt::format("layer {}: its output's difference from the target", layer));
  block_.run(context(layer), slices_.blocks[layer], inputs_, layer * batch_.tokens(), states_.view(), gradient_.view(),
             insides_[layer]);
  return std::accumulate(sums.begin(), sums.end(), 0.0) / count;
}

void GradientPass::forward() {
  states_ = Matrix(batch_.tokens(), config_.hidden_size);
  state_.embed(weights_, batch_.ids, states_.view());
  state_.ropes.extend(longest_sequence(batch_));
  ForwardOptions forward;
  forward.weights = options_.weights;
  const std::size_t first_kept = config_.num_layers() - kept_blocks();
  for (std::size_t layer = 0; layer < config_.num_layers(); ++layer) {
    inputs_.write(layer * batch_.tokens(), states_.view());
    if (layer < first_kept && options_.activations == nullptr) {
      decoder_.run_block(layer, batch_, states_.view(), forward);
    } else {
      block_.forward(context(layer), slices_.blocks[layer], states_.view(), insides_[layer]);
      if (layer < first_kept) insides_[layer].clear();
    }
    require_finite(states_.view(), fmt::format("layer {}: its output", layer));
    progress_.advance();
  }
}

// About 64 MiB of logits at once, and enough rows for the products to run at full speed.
std::size_t GradientPass::logit_rows() const {
  constexpr std::size_t values = 1 << 24;
  return std::min(scored_tokens_.size(), std::clamp<std::size_t>(values / config_.vocab_size, 64, 1024));
}

double GradientPass::run_head() {
  const BackwardContext c = context(config_.num_layers());
  const std::size_t hidden = config_.hidden_size, rows = logit_rows();
  LinearBackward head;
  NormBackward norm;
  {
    // The head's weight may be much larger than any block's: its working memory is not kept.
    WeightReader reader;
    const BackwardContext reading{config_, weights_, reader, state_.multiplier, visitor_, c.layer, c.activations};
    head.read(reading, std::array<const LinearSlices*, 1>{&head_slices_}, Directions::both);
  }
  norm.read(c, slices_.final_norm);
  gradient_ = Matrix(batch_.tokens(), hidden);
  gradient_.fill(0);
  Matrix states(rows, hidden), normed(rows, hidden), logits(rows, config_.vocab_size), capped;
  if (config_.final_softcap != 0) capped = Matrix(rows, config_.vocab_size);
  double cost = 0;
  for (std::size_t begin = 0; begin < scored_tokens_.size(); begin += rows) {
    const std::size_t count = std::min(rows, scored_tokens_.size() - begin);
    const std::span<const std::size_t> tokens = std::span(scored_tokens_).subspan(begin, count);
    const MatrixView<float> x = states.view().rows_range(0, count), n = normed.view().rows_range(0, count);
    const MatrixView<float> z = logits.view().rows_range(0, count);
    for (std::size_t i = 0; i < count; ++i) std::ranges::copy(states_.row(tokens[i]), x.row(i).begin());
    norm.forward(c, x, n);
    head.forward(c, n, z);
    const auto cap = static_cast<float>(config_.final_softcap);
    if (cap != 0) {
      apply_softcap(cap, z);
      std::copy_n(z.data(), z.size(), capped.data());
    }
    cost += cost_.add_gradient(tokens, z);
    if (cap != 0) softcap_backward(cap, capped.view().rows_range(0, count), z);
    if (!std::isfinite(cost)) {
      throw Error({decoder_.model().path.string(), "a cost that is NaN or infinite", "a finite one",
                   "the head's weights may be damaged, or overflow float32"});
    }
    head.backward(c, tokens, n, z, n);
    norm.backward(c, x, n, n);
    for (std::size_t i = 0; i < count; ++i) std::ranges::copy(n.row(i), gradient_.row(tokens[i]).begin());
  }
  require_finite(gradient_.view(), "the gradient at the output of the last layer");
  if (config_.tied_head) {
    embedding_sums_ = head.take_weight_sums();
  } else {
    head.hand_over(c);
  }
  norm.hand_over(c);
  return cost;
}

std::size_t GradientPass::kept_blocks() const {
  if (config_.num_experts != 0) return 0;
  const std::uint64_t bytes = BlockInside::bytes(config_, batch_.tokens());
  return static_cast<std::size_t>(std::min<std::uint64_t>(config_.num_layers(), options_.activation_limit / bytes));
}

void GradientPass::run_blocks() {
  for (std::size_t layer = config_.num_layers(); layer-- > 0;) {
    block_.run(context(layer), slices_.blocks[layer], inputs_, layer * batch_.tokens(), states_.view(),
               gradient_.view(), insides_[layer]);
    require_finite(gradient_.view(), fmt::format("layer {}: the gradient of its input", layer));
    progress_.advance(2);
  }
}

void GradientPass::run_embedding() {
  const auto scale = static_cast<float>(config_.embedding_scale);
  if (scale != 1) {
    for (float& v : gradient_.span()) v *= scale;
  }
  visitor_.embedding_gradient(0, batch_.ids, gradient_.view());
  const TensorSlice& slice = slices_.embedding;
  if (!visitor_.wants_tensor(slice.tensor)) return;
  if (embedding_sums_.size() == 0) {
    embedding_sums_ = AlignedBuffer<float>(slice.rows * slice.cols);
    std::ranges::fill(embedding_sums_.span(), 0.0F);
  }
  parallel_chunks(0, slice.cols, 64, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = 0; t < batch_.tokens(); ++t) {
      if (batch_.ids[t] == options_.padding_token) continue;
      float* sum = embedding_sums_.data() + static_cast<std::size_t>(batch_.ids[t]) * slice.cols;
      const float* row = gradient_.row(t).data();
      for (std::size_t j = begin; j < end; ++j) sum[j] += row[j];
    }
  });
  hand_over(weights_, slice.tensor, embedding_sums_.span(), visitor_);
}

}  // namespace lcomp
