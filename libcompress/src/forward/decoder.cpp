#include "lcomp/forward/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <numeric>

#include "forward/activation.h"
#include "forward/cpu_features.h"
#include "forward/decoder_state.h"
#include "forward/experts.h"
#include "forward/token_chunks.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

std::size_t longest_sequence(const TokenBatch& batch) {
  std::size_t longest = 0;
  for (std::size_t s = 0; s < batch.sequences(); ++s)
    longest = std::max(longest, batch.prefix_length(s) + batch.sequence(s).size());
  return longest;
}

void check_prefixes(const TokenBatch& batch, const DecoderConfig& config, const std::string& where) {
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    const std::size_t prefix = batch.prefix_length(s), length = prefix + batch.sequence(s).size();
    if (prefix == 0 || prefix_can_be_shared(config, prefix, length)) continue;
    throw Error({where, fmt::format("sequence {} of {} tokens, going on from a prefix of {}", s, length, prefix),
                 "lengths with the same rotary factors (longrope)", "compute this sequence as a whole"});
  }
}

}  // namespace

void check_ids(std::span<const std::int32_t> ids, const DecoderConfig& config, const std::string& where) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && static_cast<std::size_t>(ids[i]) < config.vocab_size) continue;
    throw Error({where, fmt::format("the token id {} at position {}", ids[i], i),
                 fmt::format("ids from 0 to {}, the model's vocabulary", config.vocab_size - 1),
                 "check that the tokenizer belongs to the model"});
  }
}

bool needs_long_factors(const RopeConfig& rope, std::size_t length) {
  return rope.scaling == RopeScaling::longrope && length > rope.original_positions;
}

bool prefix_can_be_shared(const DecoderConfig& config, std::size_t prefix_length, std::size_t length) {
  return std::all_of(config.ropes.begin(), config.ropes.end(), [&](const RopeConfig& rope) {
    return needs_long_factors(rope, prefix_length) == needs_long_factors(rope, length);
  });
}

Decoder::State::State(ModelFolder folder, ComputeType compute_type)
    : model(std::move(folder)),
      multiplier(compute_type),
      reader(model.activations ? &*model.activations : nullptr),
      ropes(model.config) {
  check_rounded_layers(model);
}

Decoder::Decoder(ModelFolder model, ComputeType compute) {
  if (compute == ComputeType::bfloat16 && !bfloat16_supported()) {
    throw Error(ErrorKind::system,
                {"compute type", "bfloat16 on a processor without AVX512-BF16 or AMX-BF16", "", "use float32"});
  }
  state_ = std::make_unique<State>(std::move(model), compute);
}
Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;

const ModelFolder& Decoder::model() const { return state_->model; }
const DecoderConfig& Decoder::config() const { return state_->model.config; }
ComputeType Decoder::compute() const { return state_->multiplier.compute(); }
bool Decoder::loaded() const { return !state_->resident.empty(); }

void Decoder::load_all() {
  State& s = *state_;
  if (loaded()) return;
  std::vector<BlockWeights> blocks(config().num_layers());
  for (std::size_t layer = 0; layer < blocks.size(); ++layer) {
    read_block(s.reader, *s.model.tensors, config(), s.model.slices.blocks[layer], s.multiplier, blocks[layer]);
  }
  s.load_head();
  s.load_final_norm();
  s.resident = std::move(blocks);
}

void Decoder::State::load_head() {
  if (!head.empty()) return;
  LinearSlices slices = model.slices.head;
  if (model.config.tied_head) slices = {model.slices.embedding, {}};
  LinearWeight weight;
  const bool rounded = model.activations && model.activations->setting.head;
  WeightReader head_reader(rounded ? &*model.activations : nullptr);
  head_reader.read_rounded(*model.tensors, std::array<const LinearSlices*, 1>{&slices}, multiplier, weight);
  head = std::move(weight);
}

void Decoder::State::load_final_norm() {
  if (final_norm.gain.size() != 0) return;
  reader.read(*model.tensors, model.slices.final_norm, model.config.norm, final_norm);
}

void Decoder::State::embed(const TensorSource& source, std::span<const std::int32_t> ids, MatrixView<float> out) {
  const std::size_t hidden = model.config.hidden_size;
  const auto scale = static_cast<float>(model.config.embedding_scale);
  // In order of id, so that each row is read once and formats that decode many rows together meet them in order.
  std::vector<std::size_t> order(ids.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return std::pair(ids[a], a) < std::pair(ids[b], b); });
  parallel_chunks(0, order.size(), 64, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      float* row = out.row(order[i]).data();
      const auto id = static_cast<std::size_t>(ids[order[i]]);
      if (i > begin && ids[order[i]] == ids[order[i - 1]]) {
        std::memcpy(row, out.row(order[i - 1]).data(), hidden * sizeof(float));
        continue;
      }
      const TensorSlice& slice = model.slices.embedding;
      reader.read(source, {slice.tensor, slice.row_begin + id, 1, hidden}, {row, hidden});
      if (scale != 1) {
        for (std::size_t j = 0; j < hidden; ++j) row[j] *= scale;
      }
    }
  });
}

Matrix Decoder::embed(const TokenBatch& batch) {
  assert(batch.offsets.front() == 0 && batch.offsets.back() == batch.ids.size());
  check_ids(batch.ids, config(), model().path.string());
  check_prefixes(batch, config(), model().path.string());
  Matrix states(batch.tokens(), config().hidden_size);
  state_->embed(*model().tensors, batch.ids, states.view());
  return states;
}

void Decoder::run_block(std::size_t layer, const TokenBatch& batch, MatrixView<float> states,
                        const ForwardOptions& options, BlockPart part) {
  State& s = *state_;
  const DecoderConfig& c = config();
  assert(part == BlockPart::whole || !c.parallel_block);
  const LayerConfig& layer_config = c.layers.at(layer);
  const BlockSlices& slices = s.model.slices.blocks[layer];
  assert(states.rows() == batch.tokens() && states.cols() == c.hidden_size);
  const bool resident = loaded() && options.weights == nullptr;
  const TensorSource& source = options.weights != nullptr ? *options.weights : *s.model.tensors;
  BlockWeights& weights = resident ? s.resident[layer] : s.streamed;
  s.ropes.extend(longest_sequence(batch));

  const std::vector<TokenChunk> chunks = cut_into_chunks(batch);
  std::vector<ChunkPiece> pieces;
  s.caches.begin_block(batch, c.num_key_value_heads, c.head_dim);
  const auto begin_chunk = [&](const TokenChunk& chunk) {
    s.caches.begin_chunk(chunk);
    pieces.clear();
    for (const SequencePiece& piece : chunk.pieces) {
      const KeyValueCache* prefix = piece.begins ? s.caches.prefix(piece.sequence) : nullptr;
      pieces.push_back({piece.first_row, piece.rows, piece.first_position,
                        needs_long_factors(c.ropes[layer_config.rope], piece.sequence_length),
                        s.caches.of(piece.sequence), prefix});
    }
  };
  const auto report = [&](const TokenChunk& chunk) {
    return InputReport{options.visitor, layer, &slices, chunk.first_token};
  };
  const auto rows = [&](const TokenChunk& chunk) { return states.rows_range(chunk.first_token, chunk.tokens); };

  if (!resident) read_attention(s.reader, source, c, slices, s.multiplier, weights.attention);
  if (!resident && c.parallel_block) read_mlp(s.reader, source, c, slices, s.multiplier, weights.mlp);
  for (const TokenChunk& chunk : chunks) {
    begin_chunk(chunk);
    if (c.parallel_block) {
      run_parallel_block(c, layer_config, weights, pieces, s.ropes, s.multiplier, report(chunk), s.buffers,
                         rows(chunk));
    } else {
      run_attention(c, layer_config, weights.attention, pieces, s.ropes, s.multiplier, report(chunk), s.buffers,
                    rows(chunk));
    }
  }
  if (c.parallel_block || part == BlockPart::attention) return;
  if (c.num_experts != 0) {
    if (!resident) read_router(s.reader, source, c, slices, s.multiplier, weights.router);
    const auto expert = [&](std::size_t e) -> const MlpWeights& {
      if (resident) return weights.experts[e];
      read_expert(s.reader, source, c, slices.experts[e], s.multiplier, weights.mlp);
      return weights.mlp;
    };
    run_experts(c, weights.router, expert, s.multiplier, options.visitor, layer, slices, s.buffers, states);
    return;
  }
  if (!resident) read_mlp(s.reader, source, c, slices, s.multiplier, weights.mlp);
  for (const TokenChunk& chunk : chunks) run_mlp(c, weights.mlp, s.multiplier, report(chunk), s.buffers, rows(chunk));
}

void Decoder::State::run_resident_block(std::size_t layer, std::span<const ChunkPiece> pieces,
                                        MatrixView<float> states) {
  const DecoderConfig& c = model.config;
  const BlockWeights& weights = resident.at(layer);
  const InputReport report{nullptr, layer, &model.slices.blocks[layer]};
  if (c.parallel_block) {
    run_parallel_block(c, c.layers[layer], weights, pieces, ropes, multiplier, report, buffers, states);
    return;
  }
  run_attention(c, c.layers[layer], weights.attention, pieces, ropes, multiplier, report, buffers, states);
  if (c.num_experts != 0) {
    const auto expert = [&](std::size_t e) -> const MlpWeights& { return weights.experts[e]; };
    run_experts(c, weights.router, expert, multiplier, nullptr, layer, model.slices.blocks[layer], buffers, states);
    return;
  }
  run_mlp(c, weights.mlp, multiplier, report, buffers, states);
}

void Decoder::State::normalize(MatrixView<float> states) {
  load_final_norm();
  lcomp::normalize(model.config.norm, model.config.norm_epsilon, final_norm, states, states);
}

void Decoder::normalize(MatrixView<float> states) { state_->normalize(states); }

Matrix Decoder::forward(const TokenBatch& batch, const ForwardOptions& options) {
  Progress progress(options.progress, options.progress_label, config().num_layers());
  Matrix states = embed(batch);
  for (std::size_t layer = 0; layer < config().num_layers(); ++layer) {
    if (options.visitor != nullptr) options.visitor->hidden(layer, states.view());
    run_block(layer, batch, states.view(), options);
    progress.advance();
  }
  if (options.visitor != nullptr) options.visitor->hidden(config().num_layers(), states.view());
  normalize(states.view());
  return states;
}

void Decoder::State::logits(ConstMatrixView normed, MatrixView<float> out) {
  assert(normed.rows() == out.rows() && out.cols() == model.config.vocab_size);
  load_head();
  multiplier.multiply(normed, head, out);
  if (model.config.final_softcap != 0) apply_softcap(static_cast<float>(model.config.final_softcap), out);
}

void Decoder::logits(ConstMatrixView normed, MatrixView<float> logits) { state_->logits(normed, logits); }

}  // namespace lcomp
