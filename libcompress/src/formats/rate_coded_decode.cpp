#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "formats/block_reader.h"
#include "formats/rate_coded_blocks.h"
#include "formats/side_information.h"
#include "formats/step_table.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/rate_coded.h"

namespace lcomp {
namespace {

// Rows [begin, end) of a weight.
struct RowsToDecode {
  const RateCodedView& weight;
  const SideInformation& side;
  StepTable& steps;
  std::size_t begin, end;
  std::span<float> out;

  RowSteps steps_of(std::size_t i) {
    const float gain = side.row_gains.empty() ? 1.0F : 1 + static_cast<float>(side.row_gains[i]) / row_gain_unit;
    return steps.row(side.row_steps[i], base_step(weight) * gain);
  }
  std::span<float> row(std::size_t i) const { return out.subspan((i - begin) * weight.cols, weight.cols); }
};

// Those of a block that are among them. Throws Error when it is damaged.
void decode_rows_of_block(RowsToDecode& rows, std::size_t block) {
  const RateCodedView& weight = rows.weight;
  BlockReader reader(block_model(weight, rows.side, block), bytes_of_block(weight, block));
  const std::size_t first = block * weight.block_rows;
  const std::size_t last = first + rows_of_block(weight, block);
  std::vector<std::int32_t> skipped(first < rows.begin ? weight.cols : 0);
  for (std::size_t i = first; i < std::min(last, rows.end); ++i) {
    const bool good = i < rows.begin ? reader.read_codes(skipped) : reader.read_weights(rows.steps_of(i), rows.row(i));
    if (!good) throw damaged_block(weight, block);
  }
  if (last <= rows.end && !reader.finished()) throw damaged_block(weight, block);
}

// Those of a block, which are all asked for, and of the next, at once. False when one of the two is damaged.
bool decode_two_blocks(RowsToDecode& rows, std::size_t block) {
  const RateCodedView& weight = rows.weight;
  BlockReader reader(block_model(weight, rows.side, block), bytes_of_block(weight, block));
  BlockReader next(block_model(weight, rows.side, block + 1), bytes_of_block(weight, block + 1));
  const std::size_t first = block * weight.block_rows;
  const std::size_t middle = first + weight.block_rows;
  const std::size_t last = middle + rows_of_block(weight, block + 1);
  const std::size_t both = std::min(last, rows.end) - middle;  // rows; the first block may have more
  for (std::size_t i = first; i < middle; ++i) {
    const std::size_t k = i + weight.block_rows;
    const bool good = i - first < both
                          ? reader.read_weights(rows.steps_of(i), rows.row(i), next, rows.steps_of(k), rows.row(k))
                          : reader.read_weights(rows.steps_of(i), rows.row(i));
    if (!good) return false;
  }
  return reader.finished() && (last > rows.end || next.finished());
}

}  // namespace

void decode_rows(const RateCodedView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out) {
  if (row_count == 0) return;
  const std::shared_ptr<const SideInformation> kept = side_of(weight, "rate-coded weight");
  const SideInformation& side = *kept;
  const std::vector<float> powers = step_powers(weight.steps_per_octave);
  StepTable steps(powers, weight.steps_per_octave, side.col_steps);
  RowsToDecode rows = {weight, side, steps, row_begin, row_begin + row_count, out};
  const std::size_t end = divide_up(rows.end, weight.block_rows);
  for (std::size_t block = row_begin / weight.block_rows; block < end;) {
    // Two blocks whose rows all are asked for, or nearly: where they fail, decoding each says which is damaged.
    if (block * weight.block_rows >= row_begin && block + 1 < end && decode_two_blocks(rows, block)) {
      block += 2;
    } else {
      decode_rows_of_block(rows, block++);
    }
  }
}

}  // namespace lcomp
