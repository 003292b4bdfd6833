#include "lcomp/calibration/calibration_key.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/core/matrix.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

constexpr std::array<std::string_view, 3> labels = {"model ", "; texts ", "; options "};

class TensorNames {
 public:
  void add(const TensorSlice& slice) {
    if (!slice.tensor.empty()) names_.insert(slice.tensor);
  }
  void add(const LinearSlices& linear) { add(linear.weight), add(linear.bias); }
  void add(const NormSlices& norm) { add(norm.gain), add(norm.bias); }
  void add(const MlpSlices& mlp) { add(mlp.gate), add(mlp.up), add(mlp.down); }
  void add(const BlockSlices& block) {
    for (const NormSlices* norm : {&block.input_norm, &block.post_attention_norm, &block.pre_mlp_norm,
                                   &block.post_mlp_norm, &block.query_norm, &block.key_norm}) {
      add(*norm);
    }
    for (const LinearSlices* linear : {&block.query, &block.key, &block.value, &block.output, &block.router})
      add(*linear);
    add(block.mlp);
    for (const MlpSlices& expert : block.experts) add(expert);
  }
  const std::set<std::string>& names() const { return names_; }

 private:
  std::set<std::string> names_;
};

struct Piece {
  const TensorInfo* tensor;
  std::size_t first_row, rows;
};

}  // namespace

std::string CalibrationKey::text() const {
  return fmt::format("{}{}{}{}{}{}", labels[0], model, labels[1], texts, labels[2], options);
}

std::optional<CalibrationKey> CalibrationKey::parse(std::string_view text) {
  const std::size_t texts = text.find(labels[1]), options = text.find(labels[2]);
  if (!text.starts_with(labels[0]) || texts == text.npos || options == text.npos || options < texts)
    return std::nullopt;
  CalibrationKey key;
  key.model = text.substr(labels[0].size(), texts - labels[0].size());
  key.texts = text.substr(texts + labels[1].size(), options - texts - labels[1].size());
  key.options = text.substr(options + labels[2].size());
  return key;
}

std::string hash_model_content(const ModelFolder& model) {
  TensorNames used;
  used.add(model.slices.embedding);
  for (const BlockSlices& block : model.slices.blocks) used.add(block);
  used.add(model.slices.final_norm);
  used.add(model.slices.head);

  constexpr std::size_t values_per_piece = std::size_t{1} << 20, row_multiple = 64;
  std::vector<Piece> pieces;
  for (const std::string& name : used.names()) {
    const TensorInfo& tensor = model.tensors->info(name);
    const std::size_t step = std::max(
        row_multiple, values_per_piece / std::max<std::size_t>(1, tensor.cols()) / row_multiple * row_multiple);
    for (std::size_t row = 0; row < tensor.rows(); row += step) {
      pieces.push_back({&tensor, row, std::min(step, tensor.rows() - row)});
    }
  }
  std::vector<std::string> hashes(pieces.size());
  parallel_for(0, pieces.size(), [&](std::size_t p) {
    const Piece& piece = pieces[p];
    AlignedBuffer<float> values(piece.rows * piece.tensor->cols());
    model.tensors->read_rows(piece.tensor->name, piece.first_row, piece.rows, values.span());
    Hasher hasher;
    hasher.update(fmt::format("{} {} {}", piece.tensor->name, piece.tensor->rows(), piece.tensor->cols()));
    hasher.update(std::as_bytes(values.span()));
    hashes[p] = hasher.hex();
  });
  Hasher hasher;
  hasher.update(model.config_json.dump());
  if (model.activations) {
    hasher.update(to_json(model.activations->setting).dump());
    for (const auto& [tensor, grid] : model.activations->inputs) {
      hasher.update(fmt::format("{} {} {}", tensor, grid.scale, grid.zero_point));
    }
  }
  for (const std::string& hash : hashes) hasher.update(hash);
  return hasher.hex();
}

std::string hash_tokens(const TokenBatch& batch) {
  Hasher hasher;
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    hasher.update(fmt::format("{}", batch.sequence(s).size()));
    hasher.update(std::as_bytes(batch.sequence(s)));
  }
  return hasher.hex();
}

void require_same(const CalibrationKey& found, const CalibrationKey& expected, const std::string& where) {
  const std::array<std::pair<std::string_view, bool>, 3> parts = {{{"model", found.model == expected.model},
                                                                   {"texts", found.texts == expected.texts},
                                                                   {"options", found.options == expected.options}}};
  std::string differing;
  for (const auto& [part, same] : parts) {
    if (!same) differing += fmt::format("{}{}", differing.empty() ? "" : " and ", part);
  }
  if (differing.empty()) return;
  const bool options_only = differing == "options";
  throw Error({where,
               options_only ? fmt::format("statistics of other options ({})", found.options)
                            : fmt::format("statistics of other {}", differing),
               options_only ? expected.options : fmt::format("{}", expected.text()),
               "delete the folder, or choose another"});
}

}  // namespace lcomp
