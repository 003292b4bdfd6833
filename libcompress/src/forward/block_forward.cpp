#include "forward/block_forward.h"

#include <algorithm>
#include <cassert>

#include "forward/activation.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

// The attention half up to its output projection: update = output(attention(normed)).
void compute_attention(const DecoderConfig& config, const LayerConfig& layer, const AttentionWeights& weights,
                       std::span<const ChunkPiece> pieces, const RopeTables& ropes, MatrixMultiplier& multiplier,
                       const InputReport& report, ChunkBuffers& buffers, ConstMatrixView normed,
                       MatrixView<float> update) {
  const std::size_t tokens = normed.rows();
  report({&report.slices->query, &report.slices->key, &report.slices->value}, normed);
  const MatrixView<float> qkv =
      shaped(buffers.query_key_value, tokens, config.query_size() + 2 * config.key_value_size());
  multiplier.multiply(normed, weights.query_key_value, qkv);
  position_queries_and_keys(config, layer, weights.query_norm, weights.key_norm, pieces, ropes, qkv);
  const MatrixView<float> attended = shaped(buffers.attended, tokens, config.query_size());
  attend(config, layer, pieces, qkv, attended, buffers.attention);
  report({&report.slices->output}, attended);
  multiplier.multiply(attended, weights.output, update);
}

void add_update(const DecoderConfig& config, const NormWeights& post_norm, MatrixView<float> update,
                MatrixView<float> states) {
  if (config.post_norms) normalize(config.norm, config.norm_epsilon, post_norm, update, update);
  add(update, states);
}

}  // namespace

void position_queries_and_keys(const DecoderConfig& config, const LayerConfig& layer, const NormWeights& query_norm,
                               const NormWeights& key_norm, std::span<const ChunkPiece> pieces, const RopeTables& ropes,
                               MatrixView<float> query_key_value) {
  const std::size_t heads = config.num_attention_heads, kv_heads = config.num_key_value_heads;
  for (const ChunkPiece& piece : pieces) {
    const RopeTable& rope = ropes.table(layer.rope, piece.long_sequence);
    parallel_for(
        0, piece.rows,
        [&](std::size_t i) {
          float* row = query_key_value.row(piece.first_row + i).data();
          for (std::size_t h = 0; h < heads + kv_heads; ++h) {
            float* head = row + h * config.head_dim;
            if (config.query_key_norm) {
              const NormWeights& norm = h < heads ? query_norm : key_norm;
              normalize_row(config.norm, config.norm_epsilon, norm, head, head, config.head_dim);
            }
            rope.rotate(piece.first_position + i, head);
          }
        },
        32);
  }
}

AttentionShape attention_shape(const DecoderConfig& config, const LayerConfig& layer) {
  AttentionShape shape;
  shape.num_heads = config.num_attention_heads;
  shape.num_key_value_heads = config.num_key_value_heads;
  shape.head_dim = config.head_dim;
  shape.scale = static_cast<float>(config.attention_scale);
  shape.softcap = static_cast<float>(config.attention_softcap);
  shape.window = layer.sliding_window.value_or(0);
  return shape;
}

void attend(const DecoderConfig& config, const LayerConfig& layer, std::span<const ChunkPiece> pieces,
            ConstMatrixView query_key_value, MatrixView<float> attended, AttentionScratch& scratch) {
  const std::size_t q = config.query_size(), kv = config.key_value_size();
  std::vector<AttentionSpan> spans;
  for (const ChunkPiece& piece : pieces) {
    if (piece.prefix != nullptr) piece.cache->assign(*piece.prefix);
    assert(piece.cache->length() == piece.first_position);
    const ConstMatrixView rows = query_key_value.rows_range(piece.first_row, piece.rows);
    piece.cache->append(rows.cols_range(q, kv), rows.cols_range(q + kv, kv));
    spans.push_back({piece.first_row, piece.rows, piece.first_position, piece.cache});
  }
  attention(attention_shape(config, layer), spans, query_key_value.cols_range(0, q), attended, scratch);
}

void InputReport::operator()(std::initializer_list<const LinearSlices*> parts, ConstMatrixView input) const {
  if (visitor == nullptr) return;
  std::vector<const LinearSlices*> present;
  for (const LinearSlices* part : parts) {
    if (!part->weight.tensor.empty()) present.push_back(part);
  }
  const std::vector<std::string> names = component_names(present);
  if (expert_tokens.empty()) {
    visitor->linear_input(layer, names, first_token, input);
  } else {
    visitor->expert_input(layer, names, expert_tokens, input);
  }
}

RopeTables::RopeTables(const DecoderConfig& config) {
  for (const RopeConfig& rope : config.ropes) {
    tables_.emplace_back(rope, false);
    tables_.emplace_back(rope, true);
    used_.push_back(true);
    used_.push_back(rope.scaling == RopeScaling::longrope);
  }
}

void RopeTables::extend(std::size_t positions) {
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    if (used_[i]) tables_[i].extend(positions);
  }
}

void compute_mlp(const DecoderConfig& config, const MlpWeights& weights, const MlpSlices& slices,
                 MatrixMultiplier& multiplier, const InputReport& report, ChunkBuffers& buffers, ConstMatrixView normed,
                 MatrixView<float> update) {
  const std::size_t tokens = normed.rows();
  report({&slices.gate, &slices.up}, normed);
  const MatrixView<float> inner = shaped(buffers.inner, tokens, weights.gate_up.out_features());
  multiplier.multiply(normed, weights.gate_up, inner);
  MatrixView<float> activated = inner;  // [tokens, intermediate]
  if (config.gated_mlp) {
    activated = shaped(buffers.activated, tokens, config.intermediate_size);
    gated_activation(config.activation, inner, activated);
  } else {
    apply_activation(config.activation, inner);
  }
  report({&slices.down}, activated);
  multiplier.multiply(activated, weights.down, update);
}

void run_attention(const DecoderConfig& config, const LayerConfig& layer, const AttentionWeights& weights,
                   std::span<const ChunkPiece> pieces, const RopeTables& ropes, MatrixMultiplier& multiplier,
                   const InputReport& report, ChunkBuffers& buffers, MatrixView<float> states) {
  const MatrixView<float> normed = shaped(buffers.normed, states.rows(), states.cols());
  const MatrixView<float> update = shaped(buffers.update, states.rows(), states.cols());
  normalize(config.norm, config.norm_epsilon, weights.input_norm, states, normed);
  compute_attention(config, layer, weights, pieces, ropes, multiplier, report, buffers, normed, update);
  add_update(config, weights.post_norm, update, states);
}

void run_mlp(const DecoderConfig& config, const MlpWeights& weights, MatrixMultiplier& multiplier,
             const InputReport& report, ChunkBuffers& buffers, MatrixView<float> states) {
  const MatrixView<float> normed = shaped(buffers.normed, states.rows(), states.cols());
  const MatrixView<float> update = shaped(buffers.update, states.rows(), states.cols());
  normalize(config.norm, config.norm_epsilon, weights.input_norm, states, normed);
  compute_mlp(config, weights, report.slices->mlp, multiplier, report, buffers, normed, update);
  add_update(config, weights.post_norm, update, states);
}

void run_parallel_block(const DecoderConfig& config, const LayerConfig& layer, const BlockWeights& weights,
                        std::span<const ChunkPiece> pieces, const RopeTables& ropes, MatrixMultiplier& multiplier,
                        const InputReport& report, ChunkBuffers& buffers, MatrixView<float> states) {
  const MatrixView<float> normed = shaped(buffers.normed, states.rows(), states.cols());
  const MatrixView<float> update = shaped(buffers.update, states.rows(), states.cols());
  normalize(config.norm, config.norm_epsilon, weights.attention.input_norm, states, normed);
  compute_attention(config, layer, weights.attention, pieces, ropes, multiplier, report, buffers, normed, update);
  add(update, states);
  compute_mlp(config, weights.mlp, report.slices->mlp, multiplier, report, buffers, normed, update);
  add(update, states);
}

}  // namespace lcomp
