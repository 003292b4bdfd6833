#include "block_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "finite.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

// Rows that a thread reads at a time: enough values to be worth it, and whole blocks of rows for formats that have
// them.
std::size_t rows_per_read(std::size_t cols) {
  constexpr std::size_t values = 1 << 18, multiple = 64;
  return std::max(multiple, values / std::max<std::size_t>(1, cols) / multiple * multiple);
}

}  // namespace

void WeightReader::read(const TensorSlice& slice, std::span<float> out) const {
  assert(out.size() == slice.rows * slice.cols);
  parallel_chunks(0, slice.rows, rows_per_read(slice.cols), [&](std::size_t begin, std::size_t end) {
    const std::span<float> part = out.subspan(begin * slice.cols, (end - begin) * slice.cols);
    source_.read_rows(slice.tensor, slice.row_begin + begin, end - begin, part);
    if (all_finite(part)) return;
    const auto at = std::find_if(part.begin(), part.end(), [](float v) { return !std::isfinite(v); });
    const auto index = static_cast<std::size_t>(at - part.begin());
    throw Error({source_.where(),
                 fmt::format("weights hold {}: tensor \"{}\", row {}, column {}", std::isnan(*at) ? "NaN" : "infinity",
                             slice.tensor, slice.row_begin + begin + index / slice.cols, index % slice.cols),
                 "finite values", ""});
  });
}

void WeightReader::read(std::span<const LinearSlices* const> parts, LinearWeight& out) const {
  std::size_t rows = 0;
  for (const LinearSlices* part : parts) rows += part->weight.rows;
  const std::size_t cols = parts.front()->weight.cols;
  const bool bias = !parts.front()->bias.tensor.empty();
  out.resize(rows, cols, bias);
  std::size_t row = 0;
  for (const LinearSlices* part : parts) {
    assert(part->weight.cols == cols && !part->bias.tensor.empty() == bias);
    read(part->weight, {out.weight().row(row).data(), part->weight.rows * cols});
    if (bias) read(part->bias, out.bias().subspan(row, part->bias.rows));
    row += part->weight.rows;
  }
}

void WeightReader::read(const NormSlices& slices, NormKind kind, NormWeights& out) const {
  if (slices.gain.tensor.empty()) return;
  if (out.gain.size() != slices.gain.rows) out.gain = AlignedBuffer<float>(slices.gain.rows);
  read(slices.gain, out.gain.span());
  if (kind == NormKind::rms_plus_one) {
    for (float& gain : out.gain.span()) gain += 1;
  }
  if (slices.bias.tensor.empty()) return;
  if (out.bias.size() != slices.bias.rows) out.bias = AlignedBuffer<float>(slices.bias.rows);
  read(slices.bias, out.bias.span());
}

void read_attention(const TensorSource& source, const DecoderConfig& config, const BlockSlices& slices,
                    const MatrixMultiplier& multiplier, bool resident, AttentionWeights& out) {
  const WeightReader reader(source);
  reader.read(slices.input_norm, config.norm, out.input_norm);
  reader.read(slices.post_attention_norm, config.norm, out.post_norm);
  reader.read(slices.query_norm, config.norm, out.query_norm);
  reader.read(slices.key_norm, config.norm, out.key_norm);
  const LinearSlices* const inputs[] = {&slices.query, &slices.key, &slices.value};
  reader.read(inputs, out.query_key_value);
  multiplier.finish(out.query_key_value, resident);
  const LinearSlices* const output[] = {&slices.output};
  reader.read(output, out.output);
  multiplier.finish(out.output, resident);
}

void read_mlp(const TensorSource& source, const DecoderConfig& config, const BlockSlices& slices,
              const MatrixMultiplier& multiplier, bool resident, MlpWeights& out) {
  const WeightReader reader(source);
  reader.read(slices.pre_mlp_norm, config.norm, out.input_norm);
  reader.read(slices.post_mlp_norm, config.norm, out.post_norm);
  std::vector<const LinearSlices*> inputs;
  if (config.gated_mlp) inputs.push_back(&slices.mlp.gate);
  inputs.push_back(&slices.mlp.up);
  reader.read(inputs, out.gate_up);
  multiplier.finish(out.gate_up, resident);
  const LinearSlices* const down[] = {&slices.mlp.down};
  reader.read(down, out.down);
  multiplier.finish(out.down, resident);
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
