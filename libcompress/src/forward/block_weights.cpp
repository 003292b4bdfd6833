#include "forward/block_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/value_range.h"
#include "lcomp/formats/compressed_weight_source.h"
#include "lcomp/kernels/integer_matmul.h"

namespace lcomp {
namespace {

// Rows that a thread reads at a time: enough values to be worth it, and whole blocks of rows for formats that have
// them.
std::size_t rows_per_read(std::size_t cols) {
  constexpr std::size_t values = 1 << 18, multiple = 64;
  return std::max(multiple, values / std::max<std::size_t>(1, cols) / multiple * multiple);
}

}  // namespace

void WeightReader::read(const TensorSource& source, const TensorSlice& slice, std::span<float> out) const {
  assert(out.size() == slice.rows * slice.cols);
  parallel_chunks(0, slice.rows, rows_per_read(slice.cols), [&](std::size_t begin, std::size_t end) {
    const std::span<float> part = out.subspan(begin * slice.cols, (end - begin) * slice.cols);
    source.read_rows(slice.tensor, slice.row_begin + begin, end - begin, part);
    if (value_range(part).finite) return;
    const auto at = std::find_if(part.begin(), part.end(), [](float v) { return !std::isfinite(v); });
    const auto index = static_cast<std::size_t>(at - part.begin());
    throw Error({source.where(),
                 fmt::format("weights hold {}: tensor \"{}\", row {}, column {}", std::isnan(*at) ? "NaN" : "infinity",
                             slice.tensor, slice.row_begin + begin + index / slice.cols, index % slice.cols),
                 "finite values", ""});
  });
}

ConstMatrixView WeightReader::read_weights(const TensorSource& source, std::span<const LinearSlices* const> parts) {
  std::size_t rows = 0;
  for (const LinearSlices* part : parts) rows += part->weight.rows;
  const std::size_t cols = parts.front()->weight.cols;
  if (staging_.size() < rows * cols) staging_ = AlignedBuffer<float>(rows * cols);
  std::size_t row = 0;
  for (const LinearSlices* part : parts) {
    assert(part->weight.cols == cols);
    read(source, part->weight, staging_.span().subspan(row * cols, part->weight.rows * cols));
    row += part->weight.rows;
  }
  return {staging_.data(), rows, cols};
}

void WeightReader::read(const TensorSource& source, std::span<const LinearSlices* const> parts,
                        const MatrixMultiplier& multiplier, LinearWeight& out) {
  multiplier.pack(read_weights(source, parts), read_bias(source, parts), out);
}

void WeightReader::read(const TensorSource& source, std::span<const LinearSlices* const> parts,
                        const MatrixMultiplier& multiplier, LinearWeight& out, LinearWeight& transposed) {
  const ConstMatrixView weights = read_weights(source, parts);
  multiplier.pack(weights, read_bias(source, parts), out);
  multiplier.pack_transposed(weights, transposed);
}

void WeightReader::read_transposed(const TensorSource& source, std::span<const LinearSlices* const> parts,
                                   const MatrixMultiplier& multiplier, LinearWeight& transposed) {
  multiplier.pack_transposed(read_weights(source, parts), transposed);
}

// All parts have a bias, or none.
std::vector<float> WeightReader::read_bias(const TensorSource& source,
                                           std::span<const LinearSlices* const> parts) const {
  std::vector<float> bias;
  std::size_t rows = 0;
  for (const LinearSlices* part : parts) {
    rows += part->weight.rows;
    if (part->bias.tensor.empty()) continue;
    bias.resize(rows);
    read(source, part->bias, std::span(bias).last(part->bias.rows));
  }
  assert(bias.empty() || bias.size() == rows);
  return bias;
}

IntegerPart WeightReader::integer_part(const TensorSource& source, const LinearSlices& linear) const {
  const std::string& tensor = linear.weight.tensor;
  const std::string where = source.where() + ": " + tensor;
  const auto* stored = dynamic_cast<const CompressedWeightSource*>(&source);
  if (stored == nullptr) {
    throw Error(
        {where,
         fmt::format("a weight stored as {}, for products with 8-bit activations", source.info(tensor).stored_as),
         "a compressed model whose weights are integers", "compress the model, or leave activations as they are"});
  }
  IntegerPart part{stored->weight(tensor),
                   linear.weight.row_begin,
                   linear.weight.rows,
                   where,
                   activations_->setting.symmetric,
                   std::nullopt};
  require_integer_product(part.weight, activations_->setting, where);
  if (activations_->setting.is_static()) {
    const auto grid = activations_->inputs.find(tensor);
    if (grid == activations_->inputs.end()) {
      throw Error({where, "no range of its input",
                   fmt::format("one, for activations {}", describe(activations_->setting)),
                   "calibrate the model and compress it again"});
    }
    part.input = grid->second;
  }
  return part;
}

void WeightReader::read_rounded(const TensorSource& source, std::span<const LinearSlices* const> parts,
                                const MatrixMultiplier& multiplier, LinearWeight& out) {
  if (activations_ == nullptr) return read(source, parts, multiplier, out);
  std::vector<IntegerPart> integers;
  for (const LinearSlices* part : parts) integers.push_back(integer_part(source, *part));
  multiplier.pack(integers, read_bias(source, parts), out);
}

void WeightReader::check_rounded(const TensorSource& source, const LinearSlices& linear) const {
  if (activations_ != nullptr && !linear.weight.tensor.empty()) integer_part(source, linear);
}

void WeightReader::read(const TensorSource& source, const NormSlices& slices, NormKind kind, NormWeights& out) const {
  if (slices.gain.tensor.empty()) return;
  if (out.gain.size() != slices.gain.rows) out.gain = AlignedBuffer<float>(slices.gain.rows);
  read(source, slices.gain, out.gain.span());
  if (kind == NormKind::rms_plus_one) {
    for (float& gain : out.gain.span()) gain += 1;
  }
  if (slices.bias.tensor.empty()) return;
  if (out.bias.size() != slices.bias.rows) out.bias = AlignedBuffer<float>(slices.bias.rows);
  read(source, slices.bias, out.bias.span());
}

void read_attention(WeightReader& reader, const TensorSource& source, const DecoderConfig& config,
                    const BlockSlices& slices, const MatrixMultiplier& multiplier, AttentionWeights& out) {
  reader.read(source, slices.input_norm, config.norm, out.input_norm);
  reader.read(source, slices.post_attention_norm, config.norm, out.post_norm);
  reader.read(source, slices.query_norm, config.norm, out.query_norm);
  reader.read(source, slices.key_norm, config.norm, out.key_norm);
  reader.read_rounded(source, std::array{&slices.query, &slices.key, &slices.value}, multiplier, out.query_key_value);
  reader.read_rounded(source, std::array{&slices.output}, multiplier, out.output);
}

void read_mlp(WeightReader& reader, const TensorSource& source, const DecoderConfig& config, const BlockSlices& slices,
              const MatrixMultiplier& multiplier, MlpWeights& out) {
  reader.read(source, slices.pre_mlp_norm, config.norm, out.input_norm);
  reader.read(source, slices.post_mlp_norm, config.norm, out.post_norm);
  read_expert(reader, source, config, slices.mlp, multiplier, out);
}

void read_expert(WeightReader& reader, const TensorSource& source, const DecoderConfig& config, const MlpSlices& slices,
                 const MatrixMultiplier& multiplier, MlpWeights& out) {
  if (config.gated_mlp) {
    reader.read_rounded(source, std::array{&slices.gate, &slices.up}, multiplier, out.gate_up);
  } else {
    reader.read_rounded(source, std::array{&slices.up}, multiplier, out.gate_up);
  }
  reader.read_rounded(source, std::array{&slices.down}, multiplier, out.down);
}

void read_router(WeightReader& reader, const TensorSource& source, const DecoderConfig& config,
                 const BlockSlices& slices, const MatrixMultiplier& multiplier, RouterWeights& out) {
  reader.read(source, slices.pre_mlp_norm, config.norm, out.input_norm);
  reader.read(source, std::array{&slices.router}, multiplier, out.router);
}

void read_block(WeightReader& reader, const TensorSource& source, const DecoderConfig& config,
                const BlockSlices& slices, const MatrixMultiplier& multiplier, BlockWeights& out) {
  read_attention(reader, source, config, slices, multiplier, out.attention);
  if (config.num_experts == 0) {
    read_mlp(reader, source, config, slices, multiplier, out.mlp);
    return;
  }
  read_router(reader, source, config, slices, multiplier, out.router);
  out.experts.resize(config.num_experts);
  for (std::size_t e = 0; e < config.num_experts; ++e) {
    read_expert(reader, source, config, slices.experts[e], multiplier, out.experts[e]);
  }
}

void check_rounded_layers(const ModelFolder& model) {
  if (!model.activations) return;
  const WeightReader reader(&*model.activations);
  const auto check = [&](std::initializer_list<const LinearSlices*> layers) {
    for (const LinearSlices* linear : layers) reader.check_rounded(*model.tensors, *linear);
  };
  for (const BlockSlices& block : model.slices.blocks) {
    check({&block.query, &block.key, &block.value, &block.output, &block.mlp.gate, &block.mlp.up, &block.mlp.down});
    for (const MlpSlices& expert : block.experts) check({&expert.gate, &expert.up, &expert.down});
  }
  if (!model.activations->setting.head) return;
  const LinearSlices tied{model.slices.embedding, {}};
  check({model.config.tied_head ? &tied : &model.slices.head});
}

std::vector<std::string> component_names(std::span<const LinearSlices* const> parts) {
  std::vector<std::string> names;
  for (const LinearSlices* part : parts) {
    constexpr std::string_view suffix = ".weight";
    std::string name = part->weight.tensor;
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
  return names;
}

}  // namespace lcomp
