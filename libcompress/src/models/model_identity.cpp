#include "lcomp/models/model_identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>
#include <vector>

#include "lcomp/core/hash.h"
#include "lcomp/core/matrix.h"
#include "lcomp/core/parallel.h"
#include "lcomp/models/tensor_check.h"

namespace lcomp {
namespace {

struct Piece {
  const TensorInfo* tensor;
  std::size_t first_row, rows;
};

}  // namespace

std::string model_identity(const ModelFolder& model) {
  std::set<std::string> used;
  for_each_slice(model.slices, [&](const TensorSlice& slice) { used.insert(slice.tensor); });

  constexpr std::size_t values_per_piece = std::size_t{1} << 20, row_multiple = 64;
  std::vector<Piece> pieces;
  for (const std::string& name : used) {
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

}  // namespace lcomp
