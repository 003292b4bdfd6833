#include "block_backward.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "decoder_state.h"
#include "lcomp/core/parallel.h"
#include "norm_backward.h"

namespace lcomp {
namespace {

std::array<const LinearSlices*, 3> attention_parts(const BlockSlices& slices) {
  return {&slices.query, &slices.key, &slices.value};
}

void copy_rows(ConstMatrixView from, MatrixView<float> to) {
  parallel_for(
      0, from.rows(), [&](std::size_t i) { std::ranges::copy(from.row(i), to.row(i).begin()); }, 16);
}

}  // namespace

void BlockBackward::append_names(const DecoderConfig& config, const BlockSlices& slices,
                                 std::vector<std::string>& names) {
  if (config.num_experts != 0) {
    ExpertsBackward::append_names(config, slices, names);
  } else {
    MlpBackward::append_names(config, slices.mlp, names);
  }
  NormGradientSums::append_names(slices.pre_mlp_norm, names);
  NormGradientSums::append_names(slices.post_mlp_norm, names);
  LinearGradientSums::append_names(std::array{&slices.output}, names);
  LinearGradientSums::append_names(attention_parts(slices), names);
  for (const NormSlices* norm :
       {&slices.query_norm, &slices.key_norm, &slices.input_norm, &slices.post_attention_norm}) {
    NormGradientSums::append_names(*norm, names);
  }
}

void BlockBackward::hand_over(const BackwardContext& context) const {
  if (context.config.num_experts != 0) {
    experts_.hand_over(context);
  } else {
    mlp_.hand_over(context);
  }
  pre_mlp_norm_.hand_over(context);
  post_mlp_norm_.hand_over(context);
  output_.hand_over(context);
  query_key_value_.hand_over(context);
  for (const NormBackward* norm : {&query_norm_, &key_norm_, &input_norm_, &post_attention_norm_})
    norm->hand_over(context);
}

void BlockBackward::read(const BackwardContext& context, const BlockSlices& slices) {
  input_norm_.read(context, slices.input_norm);
  post_attention_norm_.read(context, slices.post_attention_norm);
  query_norm_.read(context, slices.query_norm);
  key_norm_.read(context, slices.key_norm);
  pre_mlp_norm_.read(context, slices.pre_mlp_norm);
  post_mlp_norm_.read(context, slices.post_mlp_norm);
  query_key_value_.read(context, attention_parts(slices));
  output_.read(context, std::array{&slices.output});
  if (context.config.num_experts == 0) mlp_.read(context, slices.mlp);
}

void BlockBackward::run(const BackwardContext& context, const BlockSlices& slices, const ResidualStream& inputs,
                        std::size_t first_row, MatrixView<float> states, MatrixView<float> gradient) {
  const DecoderConfig& config = context.config;
  read(context, slices);
  const auto forward = [&](const TokenChunk& chunk) {
    inputs.read(first_row + chunk.first_token, shaped(input_, chunk.tokens, config.hidden_size));
    attention_forward(context, chunk, states.rows_range(chunk.first_token, chunk.tokens));
  };
  if (config.num_experts != 0) {
    for (const TokenChunk& chunk : chunks_) forward(chunk);
    experts_.run(context, slices, pre_mlp_norm_, tokens_, states, gradient);
  }
  for (const TokenChunk& chunk : chunks_) {
    const MatrixView<float> rows = states.rows_range(chunk.first_token, chunk.tokens);
    const MatrixView<float> chunk_gradient = gradient.rows_range(chunk.first_token, chunk.tokens);
    if (config.num_experts == 0 || chunks_.size() > 1) forward(chunk);
    if (config.num_experts == 0 && !config.parallel_block) mlp_backward(context, chunk, rows, chunk_gradient);
    const MatrixView<float> through = shaped(stepping_, chunk.tokens, config.hidden_size);
    attention_backward(context, chunk, chunk_gradient, through);
    if (config.parallel_block) parallel_mlp_backward(context, chunk, chunk_gradient, through);
    input_norm_.backward(context, shaped(input_, chunk.tokens, config.hidden_size), through, through);
    add(through, chunk_gradient);
  }
  hand_over(context);
}

void BlockBackward::attention_forward(const BackwardContext& context, const TokenChunk& chunk,
                                      MatrixView<float> states) {
  const DecoderConfig& config = context.config;
  const LayerConfig& layer = config.layers[context.layer];
  const std::size_t tokens = chunk.tokens, q = config.query_size(), kv = config.key_value_size();
  const MatrixView<float> input = shaped(input_, tokens, config.hidden_size);
  const MatrixView<float> normed = shaped(normed_, tokens, config.hidden_size);
  const MatrixView<float> qkv = shaped(query_key_value_rows_, tokens, q + 2 * kv);
  const MatrixView<float> attended = shaped(attended_, tokens, q);
  input_norm_.forward(context, input, normed);
  query_key_value_.forward(context, normed, qkv);
  if (config.query_key_norm) copy_rows(qkv.cols_range(0, q + kv), shaped(projected_, tokens, q + kv));

  if (caches_.size() < chunk.pieces.size()) caches_.resize(chunk.pieces.size());
  pieces_.clear();
  for (std::size_t i = 0; i < chunk.pieces.size(); ++i) {
    const SequencePiece& piece = chunk.pieces[i];
    if (caches_[i].key_value_heads() == 0) caches_[i] = KeyValueCache(config.num_key_value_heads, config.head_dim);
    caches_[i].truncate(0);
    pieces_.push_back({piece.first_row, piece.rows, 0,
                       needs_long_factors(config.ropes[layer.rope], piece.sequence_length), &caches_[i]});
  }
  position_queries_and_keys(config, layer, query_norm_.weights(), key_norm_.weights(), pieces_, ropes_, qkv);
  attend(config, layer, pieces_, qkv, attended, attention_scratch_);
  if (config.parallel_block) return;

  const MatrixView<float> update = shaped(update_, tokens, config.hidden_size);
  output_.forward(context, attended, update);
  if (config.post_norms) {
    post_attention_norm_.forward(context, update, states);
  } else {
    copy_rows(update, states);
  }
  add(input, states);
}

void BlockBackward::attention_backward(const BackwardContext& context, const TokenChunk& chunk,
                                       ConstMatrixView gradient, MatrixView<float> normed_gradient) {
  const DecoderConfig& config = context.config;
  const std::size_t tokens = chunk.tokens, q = config.query_size(), kv = config.key_value_size();
  const std::span<const std::size_t> numbers = tokens_.subspan(chunk.first_token, tokens);
  const MatrixView<float> qkv = shaped(query_key_value_rows_, tokens, q + 2 * kv);
  const MatrixView<float> attended = shaped(attended_, tokens, q);
  const MatrixView<float> attended_gradient = shaped(attended_gradient_, tokens, q);
  ConstMatrixView output_gradient = gradient;
  if (config.post_norms) {
    const MatrixView<float> update = shaped(update_, tokens, config.hidden_size);
    post_attention_norm_.backward(context, update, gradient, update);
    output_gradient = update;
  }
  output_.backward(context, numbers, attended, output_gradient, attended_gradient);

  std::vector<AttentionSequence> sequences;
  for (const ChunkPiece& piece : pieces_) sequences.push_back({piece.first_row, piece.rows});
  const auto queries = qkv.cols_range(0, q), keys = qkv.cols_range(q, kv), values = qkv.cols_range(q + kv, kv);
  lcomp::attention_backward(attention_shape(config, config.layers[context.layer]), sequences, queries, keys, values,
                            attended, attended_gradient, queries, keys, values, backward_scratch_);
  position_backward(context, qkv);
  query_key_value_.backward(context, numbers, shaped(normed_, tokens, config.hidden_size), qkv, normed_gradient);
}

void BlockBackward::position_backward(const BackwardContext& context, MatrixView<float> query_key_value_gradient) {
  const DecoderConfig& config = context.config;
  const std::size_t heads = config.num_attention_heads, kv_heads = config.num_key_value_heads, width = config.head_dim;
  const MatrixView<float> qkv = query_key_value_gradient;
  for (const ChunkPiece& piece : pieces_) {
    const RopeTable& rope = ropes_.table(config.layers[context.layer].rope, piece.long_sequence);
    parallel_for(
        0, piece.rows,
        [&](std::size_t i) {
          float* row = qkv.row(piece.first_row + i).data();
          for (std::size_t h = 0; h < heads + kv_heads; ++h) rope.rotate_back(i, row + h * width);
        },
        32);
  }
  if (!config.query_key_norm) return;
  // A head at a time, so that the sums over tokens have one order.
  const MatrixView<float> projected = shaped(projected_, qkv.rows(), (heads + kv_heads) * width);
  for (std::size_t h = 0; h < heads + kv_heads; ++h) {
    const MatrixView<float> gradient = qkv.cols_range(h * width, width);
    NormBackward& norm = h < heads ? query_norm_ : key_norm_;
    norm.backward(context, projected.cols_range(h * width, width), gradient, gradient);
  }
}

void BlockBackward::parallel_mlp_backward(const BackwardContext& context, const TokenChunk& chunk,
                                          ConstMatrixView gradient, MatrixView<float> normed_gradient) {
  const std::size_t hidden = context.config.hidden_size;
  const MatrixView<float> normed = shaped(normed_, chunk.tokens, hidden);
  for (std::size_t begin = 0; begin < chunk.tokens; begin += chunk_tokens) {
    const std::size_t count = std::min(chunk_tokens, chunk.tokens - begin);
    const ConstMatrixView rows = normed.rows_range(begin, count);
    const MatrixView<float> dx = shaped(mlp_gradient_, count, hidden);
    mlp_.forward_inside(context, rows, mlp_buffers_);
    mlp_.backward(context, tokens_.subspan(chunk.first_token + begin, count), rows, gradient.rows_range(begin, count),
                  mlp_buffers_, dx);
    add(dx, normed_gradient.rows_range(begin, count));
  }
}

void BlockBackward::mlp_backward(const BackwardContext& context, const TokenChunk& chunk, ConstMatrixView states,
                                 MatrixView<float> gradient) {
  const DecoderConfig& config = context.config;
  const std::size_t hidden = config.hidden_size;
  for (std::size_t begin = 0; begin < chunk.tokens; begin += chunk_tokens) {
    const std::size_t count = std::min(chunk_tokens, chunk.tokens - begin);
    const std::span<const std::size_t> numbers = tokens_.subspan(chunk.first_token + begin, count);
    const ConstMatrixView state = states.rows_range(begin, count);
    const MatrixView<float> dy = gradient.rows_range(begin, count);
    const MatrixView<float> normed = shaped(mlp_normed_, count, hidden), dx = shaped(mlp_gradient_, count, hidden);
    pre_mlp_norm_.forward(context, state, normed);
    mlp_.forward_inside(context, normed, mlp_buffers_);
    ConstMatrixView output_gradient = dy;
    if (config.post_norms) {
      const MatrixView<float> update = shaped(mlp_update_, count, hidden);
      mlp_.forward_out(context, mlp_buffers_, update);
      post_mlp_norm_.backward(context, update, dy, update);
      output_gradient = update;
    }
    mlp_.backward(context, numbers, normed, output_gradient, mlp_buffers_, dx);
    pre_mlp_norm_.backward(context, state, dx, dx);
    add(dx, dy);
  }
}

}  // namespace lcomp
