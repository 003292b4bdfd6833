#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/block_coder.h"
#include "formats/coder_cursor.h"

namespace lcomp {

// Decodes a block (block_coder.h) row by row, vectorised.
class BlockReader {
 public:
  // Keeps views of `bytes` and of what `model` views.
  BlockReader(const BlockModel& model, std::span<const std::uint8_t> bytes);

  // The next row, [cols]: its codes, or its weights under these steps. False when the bytes can't be a block of this
  // model's: `out` has no meaning then.
  bool read_codes(std::span<std::int32_t> out);
  bool read_weights(const RowSteps& steps, std::span<float> out);
  // The next row's weights, and those of another block of the same weight: faster than one after the other. False when
  // either can't be a block.
  bool read_weights(const RowSteps& steps, std::span<float> out, BlockReader& other, const RowSteps& other_steps,
                    std::span<float> other_out);
  // Whether all rows were read, and the bytes held nothing else.
  bool finished() const;

 private:
  std::size_t cols() const { return column_classes_.size(); }
  std::size_t lanes() const { return std::min(coder_lanes, cols()); }
  std::size_t groups() const { return cols() / coder_lanes; }  // whole ones
  RowOfBlock next_row();
  RowOfBlock next_row(const RowSteps& steps, std::span<float> out);
  // The columns behind the last whole group.
  bool finish_weights(const RowOfBlock& row);

  const BlockModel model_;
  const GroupDecoder decoder_;
  const std::vector<std::int32_t> column_classes_;
  const std::vector<std::int32_t> largest_classes_;  // of each 32 columns
  std::vector<std::uint32_t> states_;                // of the trellis
  std::size_t row_ = 0;
  CoderCursor cursor_;
  bool good_;
};

}  // namespace lcomp
