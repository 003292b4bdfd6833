#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "lcomp/forward/decoder.h"
#include "lcomp/io/safetensors.h"
#include "reference_data.h"

// Reading the reference values of a model, and comparing with them.
namespace lcomp::testing {

// The models of golden("families/...") that the decoder runs.
inline const std::vector<const char*> golden_families = {"gemma",         "gemma2",  "gemma3",  "llama2", "llama3",
                                                         "llama-tied",    "mistral", "mixtral", "phi",    "phi3",
                                                         "phi3-longrope", "qwen2",   "qwen3"};

// The name of a parameterised test: "llama-tied" as llama_tied.
inline std::string golden_family_name(const ::testing::TestParamInfo<const char*>& param) {
  std::string name = param.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

inline Matrix read_matrix(const SafetensorsFile& file, const std::string& name, std::size_t cols) {
  const SafetensorsEntry& entry = file.entry(name);
  std::size_t elements = 1;
  for (const std::size_t n : entry.shape) elements *= n;
  Matrix values(elements / cols, cols);
  to_float(entry, 0, values.span());
  return values;
}

inline std::vector<std::int32_t> read_ids(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsEntry& entry = file.entry(name);
  std::size_t elements = 1;
  for (const std::size_t n : entry.shape) elements *= n;
  std::vector<float> values(elements);
  to_float(entry, 0, values);
  return {values.begin(), values.end()};
}

// input_ids [sequences, length] as a batch.
inline TokenBatch read_batch(const SafetensorsFile& file, const std::string& name) {
  const std::vector<std::int32_t> ids = read_ids(file, name);
  const std::size_t length = file.entry(name).shape.back();
  TokenBatch batch;
  for (std::size_t begin = 0; begin < ids.size(); begin += length) batch.add(std::span(ids).subspan(begin, length));
  return batch;
}

// max |a - b| / max |b|.
inline double relative_difference(ConstMatrixView a, ConstMatrixView b) {
  EXPECT_EQ(a.rows(), b.rows());
  EXPECT_EQ(a.cols(), b.cols());
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < std::min(a.rows(), b.rows()); ++i) {
    for (std::size_t j = 0; j < std::min(a.cols(), b.cols()); ++j) {
      difference = std::max(difference, std::abs(static_cast<double>(a(i, j)) - b(i, j)));
      largest = std::max(largest, std::abs(static_cast<double>(b(i, j))));
      if (std::isnan(a(i, j))) return INFINITY;
    }
  }
  return difference / largest;
}

// Mean cross-entropy of each token given the ones before it, in double.
inline double next_token_loss(const TokenBatch& batch, ConstMatrixView logits) {
  double total = 0;
  std::size_t count = 0;
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    for (std::size_t t = batch.offsets[s]; t + 1 < batch.offsets[s + 1]; ++t) {
      const auto row = logits.row(t);
      const double highest = *std::max_element(row.begin(), row.end());
      double sum = 0;
      for (const float v : row) sum += std::exp(v - highest);
      total += highest + std::log(sum) - row[static_cast<std::size_t>(batch.ids[t + 1])];
      ++count;
    }
  }
  return total / static_cast<double>(count);
}

// Keeps the residual stream before every block.
struct HiddenRecorder : BlockVisitor {
  std::vector<Matrix> states;
  void hidden(std::size_t layer, ConstMatrixView view) override {
    EXPECT_EQ(layer, states.size());
    Matrix copy(view.rows(), view.cols());
    for (std::size_t i = 0; i < view.rows(); ++i)
      std::copy(view.row(i).begin(), view.row(i).end(), copy.row(i).begin());
    states.push_back(std::move(copy));
  }
};

// A copy of a golden family's folder with config.v5.json as its config.json.
inline void copy_with_config_v5(const std::filesystem::path& from, const std::filesystem::path& to) {
  for (const auto& entry : std::filesystem::directory_iterator(from)) {
    const std::string name = entry.path().filename().string();
    if (name == "config.json" || name.starts_with("io")) continue;
    std::filesystem::copy_file(entry.path(), to / (name == "config.v5.json" ? "config.json" : name));
  }
}

}  // namespace lcomp::testing
