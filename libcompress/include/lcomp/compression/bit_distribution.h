#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/formats/compressed_weight.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Where the bits of a compressed model are: by component, and by rows and columns within each.

// Bits per weight of each row and of each column, everything that the weight stores included, so that both average to
// 8 payload bytes / (rows * cols).
struct RowAndColumnBits {
  std::vector<double> rows;     // [rows]
  std::vector<double> columns;  // [cols]
};

// Formats of one width have the same number everywhere; banded ones in all rows.
RowAndColumnBits row_and_column_bits(const CompressedWeightView& weight);

// Counts of bits per weight in bins of a quarter bit: bin i holds [i / 4, (i + 1) / 4), the last 8 and more.
constexpr std::size_t bit_bins = 33;
using BitHistogram = std::array<std::uint64_t, bit_bins>;
BitHistogram bit_histogram(const std::vector<double>& bits);

struct ComponentBits {
  std::string name;  // ModelComponent's
  // What it is in the decoder: "embedding", "q", "k", "v", "o", "gate", "up", "down", "router", "head"; of tensors that
  // hold several, joined: "qkv", "gate+up".
  std::string role;
  std::optional<std::size_t> layer;  // block, from 0; none for embedding and head
  std::size_t rows = 0, cols = 0;
  std::uint64_t bytes = 0;
  double bits_per_weight = 0;
  BitHistogram rows_by_bits{}, columns_by_bits{};  // how many rows, and columns, have so many bits
};

// Of every component of a compressed model, in the order of the forward pass. Throws Error for a model that is not
// stored in our formats.
std::vector<ComponentBits> bit_distribution(const ModelFolder& compressed);

// {"bin_width": 0.25, "components": [{"name", "role", "layer" (null: none), "rows", "cols", "bytes", "bits_per_weight",
//  "rows_by_bits": {"4.25": 576}, "columns_by_bits"}]}; histograms by the lower edge of their bins, without empty ones.
nlohmann::json to_json(const std::vector<ComponentBits>& distribution);
// The inverse. Throws Error naming `where` for anything else.
std::vector<ComponentBits> bit_distribution_from_json(const nlohmann::json& json, const std::string& where);

}  // namespace lcomp
