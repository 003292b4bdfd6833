#include "lcomp/compression/bit_distribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>
#include <variant>

#include "lcomp/core/error.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/formats/column_permutation.h"
#include "lcomp/formats/compressed_weight_source.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/rate_coded.h"
#include "lcomp/models/model_components.h"

namespace lcomp {
namespace {

constexpr double kBinWidth = 0.25;

RowAndColumnBits same_everywhere(const CompressedWeightView& weight) {
  const WeightLayout shape = layout(weight);
  const double bits = bits_per_weight(shape);
  return {std::vector<double>(rows(shape), bits), std::vector<double>(cols(shape), bits)};
}

// The code length of each row and column, and an equal share of the rest for every weight.
RowAndColumnBits bits_of(const RateCodedView& weight) {
  const CodeBits codes = code_bits(weight);
  const double all = 8 * static_cast<double>(payload_bytes(CompressedWeightView(weight)));
  const double of_codes = std::accumulate(codes.rows.begin(), codes.rows.end(), 0.0);
  const double rest = (all - of_codes) / static_cast<double>(weight.rows * weight.cols);
  RowAndColumnBits bits;
  for (const double row : codes.rows) bits.rows.push_back(row / static_cast<double>(weight.cols) + rest);
  for (const double column : codes.cols) bits.columns.push_back(column / static_cast<double>(weight.rows) + rest);
  return bits;
}

// The codes, scales and zero points of each column's band, and an equal share of the rest for every weight.
RowAndColumnBits bits_of(const BandedIntegerView& weight) {
  RowAndColumnBits bits = same_everywhere(weight);
  std::vector<double> of_column(weight.cols, 0.0);
  for (std::size_t j = 0; j < weight.cols; ++j) {
    const std::size_t band = j / band_columns;
    const double width = weight.band_bits[band];
    if (width == 0) continue;
    const double beside = 8 + (weight.symmetric ? 0 : width);  // for all columns of the band
    of_column[stored_column(weight.permutation, weight.cols, j)] =
        width + beside / static_cast<double>(columns_of_band(weight.cols, band));
  }
  const double mean = std::accumulate(of_column.begin(), of_column.end(), 0.0) / static_cast<double>(weight.cols);
  for (std::size_t j = 0; j < weight.cols; ++j) bits.columns[j] += of_column[j] - mean;
  return bits;
}

struct Place {
  std::string role;
  std::optional<std::size_t> layer;
};

// What each tensor is in the decoder.
std::map<std::string, Place> places(const ModelFolder& model) {
  std::map<std::string, Place> found;
  const auto add = [&found](const TensorSlice& slice, const std::string& role, std::optional<std::size_t> layer) {
    if (slice.tensor.empty()) return;
    const auto [entry, fresh] = found.emplace(slice.tensor, Place{role, layer});
    std::string& known = entry->second.role;
    if (fresh || known == role || known.find(role) != std::string::npos) return;
    known += role.size() == 1 ? role : "+" + role;  // fused: "qkv", "gate+up"
  };
  for (std::size_t layer = 0; layer < model.slices.blocks.size(); ++layer) {
    const BlockSlices& block = model.slices.blocks[layer];
    add(block.query.weight, "q", layer);
    add(block.key.weight, "k", layer);
    add(block.value.weight, "v", layer);
    add(block.output.weight, "o", layer);
    add(block.router.weight, "router", layer);
    const auto add_mlp = [&](const MlpSlices& mlp) {
      add(mlp.gate.weight, "gate", layer);
      add(mlp.up.weight, "up", layer);
      add(mlp.down.weight, "down", layer);
    };
    add_mlp(block.mlp);
    for (const MlpSlices& expert : block.experts) add_mlp(expert);
  }
  add(model.slices.embedding, "embedding", std::nullopt);
  if (model.slices.head.weight.tensor != model.slices.embedding.tensor) {
    add(model.slices.head.weight, "head", std::nullopt);
  }
  return found;
}

nlohmann::json to_json(const BitHistogram& histogram) {
  nlohmann::json json = nlohmann::json::object();
  for (std::size_t bin = 0; bin < bit_bins; ++bin) {
    if (histogram[bin] > 0) json[fmt::format("{:.2f}", kBinWidth * static_cast<double>(bin))] = histogram[bin];
  }
  return json;
}

BitHistogram histogram_from_json(const nlohmann::json& json) {
  BitHistogram histogram{};
  for (const auto& [edge, count] : json.items()) {
    const double bin = std::strtod(edge.c_str(), nullptr) / kBinWidth;
    if (!(bin >= 0 && bin < static_cast<double>(bit_bins))) continue;
    histogram[static_cast<std::size_t>(bin)] += count.get<std::uint64_t>();
  }
  return histogram;
}

}  // namespace

RowAndColumnBits row_and_column_bits(const CompressedWeightView& weight) {
  if (const auto* rate = std::get_if<RateCodedView>(&weight)) return bits_of(*rate);
  if (const auto* banded = std::get_if<BandedIntegerView>(&weight)) return bits_of(*banded);
  return same_everywhere(weight);
}

BitHistogram bit_histogram(const std::vector<double>& bits) {
  BitHistogram histogram{};
  for (const double value : bits) {
    const double bin = std::min(std::max(0.0, value / kBinWidth), static_cast<double>(bit_bins - 1));
    ++histogram[static_cast<std::size_t>(bin)];
  }
  return histogram;
}

std::vector<ComponentBits> bit_distribution(const ModelFolder& compressed) {
  const auto* source = dynamic_cast<const CompressedWeightSource*>(compressed.tensors.get());
  if (source == nullptr) {
    throw Error(
        {compressed.path.string(), "a model that is not compressed by lcomp", "a folder of lcomp compress", ""});
  }
  const std::map<std::string, Place> known = places(compressed);
  std::vector<ComponentBits> distribution;
  for (const ModelComponent& component : model_components(compressed)) {
    const CompressedWeightView& weight = source->weight(component.tensor);
    const RowAndColumnBits bits = row_and_column_bits(weight);
    const Place& place = known.at(component.tensor);
    ComponentBits entry;
    entry.name = component.name;
    entry.role = place.role;
    entry.layer = place.layer;
    entry.rows = component.rows;
    entry.cols = component.cols;
    entry.bytes = payload_bytes(weight);
    entry.bits_per_weight = bits_per_weight(layout(weight));
    entry.rows_by_bits = bit_histogram(bits.rows);
    entry.columns_by_bits = bit_histogram(bits.columns);
    distribution.push_back(std::move(entry));
  }
  return distribution;
}

nlohmann::json to_json(const std::vector<ComponentBits>& distribution) {
  nlohmann::json components = nlohmann::json::array();
  for (const ComponentBits& entry : distribution) {
    components.push_back({{"name", entry.name},
                          {"role", entry.role},
                          {"layer", entry.layer ? nlohmann::json(*entry.layer) : nlohmann::json()},
                          {"rows", entry.rows},
                          {"cols", entry.cols},
                          {"bytes", entry.bytes},
                          {"bits_per_weight", entry.bits_per_weight},
                          {"rows_by_bits", to_json(entry.rows_by_bits)},
                          {"columns_by_bits", to_json(entry.columns_by_bits)}});
  }
  return {{"bin_width", kBinWidth}, {"components", std::move(components)}};
}

std::vector<ComponentBits> bit_distribution_from_json(const nlohmann::json& json, const std::string& where) {
  std::vector<ComponentBits> distribution;
  try {
    for (const auto& component : json.at("components")) {
      ComponentBits entry;
      entry.name = component.at("name").get<std::string>();
      entry.role = component.at("role").get<std::string>();
      if (!component.at("layer").is_null()) entry.layer = component.at("layer").get<std::size_t>();
      entry.rows = component.at("rows").get<std::size_t>();
      entry.cols = component.at("cols").get<std::size_t>();
      entry.bytes = component.at("bytes").get<std::uint64_t>();
      entry.bits_per_weight = component.at("bits_per_weight").get<double>();
      entry.rows_by_bits = histogram_from_json(component.at("rows_by_bits"));
      entry.columns_by_bits = histogram_from_json(component.at("columns_by_bits"));
      distribution.push_back(std::move(entry));
    }
  } catch (const nlohmann::json::exception& error) {
    throw Error({where, error.what(), "a distribution of bits as lcomp run writes it", "run it again"});
  }
  return distribution;
}

}  // namespace lcomp
