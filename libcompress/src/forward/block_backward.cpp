#include "forward/block_backward.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "forward/decoder_state.h"
#include "forward/norm_backward.h"
#include "lcomp/core/parallel.h"

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

void BlockBackward::read(const BackwardContext& context, const BlockSlices& slices, Directions directions) {
  input_norm_.read(context, slices.input_norm);
  post_attention_norm_.read(context, slices.post_attention_norm);
  query_norm_.read(context, slices.query_norm);
  key_norm_.read(context, slices.key_norm);
  pre_mlp_norm_.read(context, slices.pre_mlp_norm);
  post_mlp_norm_.read(context, slices.post_mlp_norm);
  query_key_value_.read(context, attention_parts(slices), directions);
  output_.read(context, std::array{&slices.output}, directions);
  if (context.config.num_experts == 0) mlp_.read(context, slices.mlp, directions);
}

std::uint64_t BlockInside::bytes(const DecoderConfig& config, std::size_t tokens) {
  const std::size_t q = config.query_size(), kv = config.key_value_size();
  std::size_t floats = 2 * q + 2 * kv + MlpBackward::inner_size(config);
  if (config.query_key_norm) floats += q + kv;
  if (config.post_norms) floats += 2 * config.hidden_size;
  if (!config.parallel_block) floats += config.hidden_size;
  return std::uint64_t{floats} * tokens * sizeof(float);
}

void BlockBackward::forward(const BackwardContext& context, const BlockSlices& slices, MatrixView<float> states,
                            std::vector<BlockInside>& insides) {
  const DecoderConfig& config = context.config;
  const std::size_t hidden = config.hidden_size;
  assert(config.num_experts == 0);
  read(context, slices, Directions::forward);
  insides = std::vector<BlockInside>(chunks_.size());
  for (std::size_t c = 0; c < chunks_.size(); ++c) {
    const TokenChunk& chunk = chunks_[c];
    BlockInside& inside = insides[c];
    const MatrixView<float> rows = states.rows_range(chunk.first_token, chunk.tokens);
    copy_rows(rows, shaped(input_, chunk.tokens, hidden));
    begin_chunk(context, chunk);
    attention_forward(context, chunk, inside);
    if (config.parallel_block) {
      const MatrixView<float> update = shaped(attended_gradient_, chunk.tokens, hidden);
      output_.forward(context, shaped(inside.attended, chunk.tokens, config.query_size()), update);
      add(update, rows);
    } else {
      copy_rows(shaped(inside.middle, chunk.tokens, hidden), rows);
    }
    const MatrixView<float> all_inner = shaped(inside.inner, chunk.tokens, MlpBackward::inner_size(config));
    for (std::size_t begin = 0; begin < chunk.tokens; begin += chunk_tokens) {
      const std::size_t count = std::min(chunk_tokens, chunk.tokens - begin);
      const MatrixView<float> state = rows.rows_range(begin, count), update = shaped(mlp_gradient_, count, hidden);
      MatrixView<float> normed = shaped(normed_, chunk.tokens, hidden).rows_range(begin, count);
      if (!config.parallel_block) {
        normed = shaped(mlp_normed_, count, hidden);
        pre_mlp_norm_.forward(context, state, normed);
      }
      const MatrixView<float> inner = all_inner.rows_range(begin, count);
      mlp_.forward_inner(context, normed, inner);
      mlp_.forward_out(context, mlp_.activate(context, inner, mlp_buffers_), update);
      if (config.post_norms) {
        copy_rows(update, shaped(inside.mlp_update, chunk.tokens, hidden).rows_range(begin, count));
        post_mlp_norm_.forward(context, update, update);
      }
      add(update, state);
    }
  }
}

void BlockBackward::run(const BackwardContext& context, const BlockSlices& slices, const ResidualStream& inputs,
                        std::size_t first_row, MatrixView<float> states, MatrixView<float> gradient,
                        std::vector<BlockInside>& insides) {
  const DecoderConfig& config = context.config;
  const std::size_t hidden = config.hidden_size;
  const bool kept = !insides.empty(), mixture = config.num_experts != 0;
  read(context, slices, kept ? Directions::backward : Directions::both);
  const auto begin = [&](const TokenChunk& chunk) {
    inputs.read(first_row + chunk.first_token, shaped(input_, chunk.tokens, hidden));
    begin_chunk(context, chunk);
  };
  if (mixture) {
    for (const TokenChunk& chunk : chunks_) {
      begin(chunk);
      attention_forward(context, chunk, inside_);
      copy_rows(shaped(inside_.middle, chunk.tokens, hidden), states.rows_range(chunk.first_token, chunk.tokens));
    }
    experts_.run(context, slices, pre_mlp_norm_, tokens_, states, gradient);
  }
  for (std::size_t c = 0; c < chunks_.size(); ++c) {
    const TokenChunk& chunk = chunks_[c];
    BlockInside& inside = kept ? insides[c] : inside_;
    const MatrixView<float> chunk_gradient = gradient.rows_range(chunk.first_token, chunk.tokens);
    if (!mixture || chunks_.size() > 1) begin(chunk);
    const MatrixView<float> input = shaped(input_, chunk.tokens, hidden);
    if (kept) {
      input_norm_.forward(context, input, shaped(normed_, chunk.tokens, hidden));
    } else if (!mixture || chunks_.size() > 1) {
      attention_forward(context, chunk, inside);
    }
    if (!mixture && !config.parallel_block) mlp_backward(context, chunk, inside, kept, chunk_gradient);
    const MatrixView<float> through = shaped(normed_gradient_, chunk.tokens, hidden);
    attention_backward(context, chunk, inside, chunk_gradient, through);
    if (config.parallel_block) parallel_mlp_backward(context, chunk, inside, kept, chunk_gradient, through);
    input_norm_.backward(context, input, through, through);
    add(through, chunk_gradient);
    if (kept) inside = BlockInside();
  }
  hand_over(context);
}

void BlockBackward::begin_chunk(const BackwardContext& context, const TokenChunk& chunk) {
  const DecoderConfig& config = context.config;
  const RopeConfig& rope = config.ropes[config.layers[context.layer].rope];
  if (caches_.size() < chunk.pieces.size()) caches_.resize(chunk.pieces.size());
  pieces_.clear();
  for (std::size_t i = 0; i < chunk.pieces.size(); ++i) {
    const SequencePiece& piece = chunk.pieces[i];
    if (caches_[i].key_value_heads() == 0) caches_[i] = KeyValueCache(config.num_key_value_heads, config.head_dim);
    caches_[i].truncate(0);
    pieces_.push_back({piece.first_row, piece.rows, 0, needs_long_factors(rope, piece.sequence_length), &caches_[i]});
  }
}

void BlockBackward::attention_forward(const BackwardContext& context, const TokenChunk& chunk, BlockInside& inside) {
  const DecoderConfig& config = context.config;
  const LayerConfig& layer = config.layers[context.layer];
  const std::size_t tokens = chunk.tokens, q = config.query_size(), kv = config.key_value_size();
  const MatrixView<float> input = shaped(input_, tokens, config.hidden_size);
  const MatrixView<float> normed = shaped(normed_, tokens, config.hidden_size);
  const MatrixView<float> qkv = shaped(inside.query_key_value, tokens, q + 2 * kv);
  const MatrixView<float> attended = shaped(inside.attended, tokens, q);
  input_norm_.forward(context, input, normed);
  query_key_value_.forward(context, normed, qkv);
  if (config.query_key_norm) copy_rows(qkv.cols_range(0, q + kv), shaped(inside.projected, tokens, q + kv));
  position_queries_and_keys(config, layer, query_norm_.weights(), key_norm_.weights(), pieces_, ropes_, qkv);
  attend(config, layer, pieces_, qkv, attended, attention_scratch_);
  if (config.parallel_block) return;

  const MatrixView<float> middle = shaped(inside.middle, tokens, config.hidden_size);
  if (config.post_norms) {
    const MatrixView<float> update = shaped(inside.update, tokens, config.hidden_size);
    output_.forward(context, attended, update);
    post_attention_norm_.forward(context, update, middle);
  } else {
    output_.forward(context, attended, middle);
  }
  add(input, middle);
}

void BlockBackward::attention_backward(const BackwardContext& context, const TokenChunk& chunk, BlockInside& inside,
                                       ConstMatrixView gradient, MatrixView<float> normed_gradient) {
  const DecoderConfig& config = context.config;
  const std::size_t tokens = chunk.tokens, q = config.query_size(), kv = config.key_value_size();
  const std::span<const std::size_t> numbers = tokens_.subspan(chunk.first_token, tokens);
  const MatrixView<float> qkv = shaped(inside.query_key_value, tokens, q + 2 * kv);
  const MatrixView<float> attended = shaped(inside.attended, tokens, q);
  const MatrixView<float> attended_gradient = shaped(attended_gradient_, tokens, q);
  ConstMatrixView output_gradient = gradient;
  if (config.post_norms) {
    const MatrixView<float> update = shaped(inside.update, tokens, config.hidden_size);
    post_attention_norm_.backward(context, update, gradient, update);
    output_gradient = update;
  }
  output_.backward(context, numbers, attended, output_gradient, attended_gradient);

  std::vector<AttentionSequence> sequences;
  for (const ChunkPiece& piece : pieces_) sequences.push_back({piece.first_row, piece.rows});
  const auto queries = qkv.cols_range(0, q), keys = qkv.cols_range(q, kv), values = qkv.cols_range(q + kv, kv);
  lcomp::attention_backward(attention_shape(config, config.layers[context.layer]), sequences, queries, keys, values,
                            attended, attended_gradient, queries, keys, values, backward_scratch_);
  position_backward(context, inside, qkv);
  query_key_value_.backward(context, numbers, shaped(normed_, tokens, config.hidden_size), qkv, normed_gradient);
}

void BlockBackward::position_backward(const BackwardContext& context, const BlockInside& inside,
                                      MatrixView<float> query_key_value_gradient) {
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
  const ConstMatrixView projected(inside.projected.data(), qkv.rows(), (heads + kv_heads) * width);
  for (std::size_t h = 0; h < heads + kv_heads; ++h) {
    const MatrixView<float> gradient = qkv.cols_range(h * width, width);
    NormBackward& norm = h < heads ? query_norm_ : key_norm_;
    norm.backward(context, projected.cols_range(h * width, width), gradient, gradient);
  }
}

MatrixView<float> BlockBackward::inner(const BackwardContext& context, BlockInside& inside, bool kept,
                                       std::size_t begin, ConstMatrixView normed) {
  const std::size_t width = MlpBackward::inner_size(context.config);
  if (kept) return {inside.inner.data() + begin * width, normed.rows(), width};
  const MatrixView<float> rows = shaped(mlp_buffers_.inner, normed.rows(), width);
  mlp_.forward_inner(context, normed, rows);
  return rows;
}

void BlockBackward::parallel_mlp_backward(const BackwardContext& context, const TokenChunk& chunk, BlockInside& inside,
                                          bool kept, ConstMatrixView gradient, MatrixView<float> normed_gradient) {
  const std::size_t hidden = context.config.hidden_size;
  const MatrixView<float> all_normed = shaped(normed_, chunk.tokens, hidden);
  for (std::size_t begin = 0; begin < chunk.tokens; begin += chunk_tokens) {
    const std::size_t count = std::min(chunk_tokens, chunk.tokens - begin);
    const ConstMatrixView normed = all_normed.rows_range(begin, count);
    const MatrixView<float> dx = shaped(mlp_gradient_, count, hidden);
    const MatrixView<float> gate_up = inner(context, inside, kept, begin, normed);
    const MatrixView<float> activated = mlp_.activate(context, gate_up, mlp_buffers_);
    mlp_.backward(context, tokens_.subspan(chunk.first_token + begin, count), normed, gate_up, activated,
                  gradient.rows_range(begin, count), mlp_buffers_, dx);
    add(dx, normed_gradient.rows_range(begin, count));
  }
}

void BlockBackward::mlp_backward(const BackwardContext& context, const TokenChunk& chunk, BlockInside& inside,
                                 bool kept, MatrixView<float> gradient) {
  const DecoderConfig& config = context.config;
  const std::size_t hidden = config.hidden_size;
  for (std::size_t begin = 0; begin < chunk.tokens; begin += chunk_tokens) {
    const std::size_t count = std::min(chunk_tokens, chunk.tokens - begin);
    const std::span<const std::size_t> numbers = tokens_.subspan(chunk.first_token + begin, count);
    const ConstMatrixView state = shaped(inside.middle, chunk.tokens, hidden).rows_range(begin, count);
    const MatrixView<float> dy = gradient.rows_range(begin, count);
    const MatrixView<float> normed = shaped(mlp_normed_, count, hidden), dx = shaped(mlp_gradient_, count, hidden);
    pre_mlp_norm_.forward(context, state, normed);
    const MatrixView<float> gate_up = inner(context, inside, kept, begin, normed);
    const MatrixView<float> activated = mlp_.activate(context, gate_up, mlp_buffers_);
    ConstMatrixView output_gradient = dy;
    if (config.post_norms) {
      const MatrixView<float> update = shaped(inside.mlp_update, chunk.tokens, hidden).rows_range(begin, count);
      if (!kept) mlp_.forward_out(context, activated, update);
      post_mlp_norm_.backward(context, update, dy, update);
      output_gradient = update;
    }
    mlp_.backward(context, numbers, normed, gate_up, activated, output_gradient, mlp_buffers_, dx);
    pre_mlp_norm_.backward(context, state, dx, dx);
    add(dx, dy);
  }
}

}  // namespace lcomp
