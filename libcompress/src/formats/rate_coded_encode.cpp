#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "formats/block_coder.h"
#include "formats/rate_coded_blocks.h"
#include "formats/rate_coded_classes.h"
#include "formats/side_information.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/rate_coded.h"

namespace lcomp {
namespace {

// A block costs 136 bytes beside its codes, half of them the states that its coders begin with.
constexpr std::size_t block_weights = 1u << 18;

void check(const RateCodedCodes& codes, const std::string& where) {
  if (codes.codes.size() != checked_multiply(codes.rows, codes.cols, where) || codes.row_steps.size() != codes.rows ||
      codes.col_steps.size() != codes.cols) {
    throw Error({where,
                 fmt::format("{} codes, {} row steps, {} column steps", codes.codes.size(), codes.row_steps.size(),
                             codes.col_steps.size()),
                 fmt::format("those of {} x {}", codes.rows, codes.cols), ""});
  }
  check_row_gains(codes.row_gains, codes.rows, where);
  if (!(codes.base_step > 0) || !std::isfinite(codes.base_step)) {
    throw Error({where, fmt::format("a base step of {}", codes.base_step), "a positive number", ""});
  }
  for (std::size_t k = 0; k < codes.codes.size(); ++k) {
    if (codes.codes[k] >= -largest_rate_code && codes.codes[k] <= largest_rate_code) continue;
    throw Error({where, fmt::format("code {} in row {}, column {}", codes.codes[k], k / codes.cols, k % codes.cols),
                 fmt::format("-{0} to {0}", largest_rate_code), "use larger steps"});
  }
}

// Blocks of about block_weights weights and of the same number of chains, as far as that goes.
std::size_t block_rows_of(std::size_t chain_rows, std::size_t rows, std::size_t cols) {
  const std::size_t chains = divide_up(rows, chain_rows);
  const std::size_t blocks = std::max<std::size_t>(1, (rows * cols + block_weights / 2) / block_weights);
  return divide_up(chains, std::min(blocks, chains)) * chain_rows;
}

void store_u32(std::uint8_t* to, std::uint32_t value) { std::memcpy(to, &value, sizeof value); }

}  // namespace

void check_row_gains(std::span<const std::int16_t> gains, std::size_t rows, const std::string& where) {
  if (!gains.empty() && gains.size() != rows) {
    throw Error({where, fmt::format("{} row gains", gains.size()), fmt::format("{}", rows), ""});
  }
  for (const std::int16_t gain : gains) {
    if (gain >= -largest_row_gain && gain <= largest_row_gain) continue;
    throw Error({where, fmt::format("a row gain of {}", gain), fmt::format("-{0} to {0}", largest_row_gain), ""});
  }
}

RateCodedWeight encode_rate_coded(const RateCodedCodes& codes, const std::string& where) {
  RateCodedWeight out;
  out.rows = codes.rows;
  out.cols = codes.cols;
  out.steps_per_octave = codes.steps_per_octave;
  out.trellis_memory = codes.trellis_memory;
  out.chain_rows = codes.chain_rows;
  const bool empty = codes.rows == 0 || codes.cols == 0 || codes.chain_rows == 0;  // refused below
  out.block_rows = empty ? codes.chain_rows : block_rows_of(codes.chain_rows, codes.rows, codes.cols);
  out.code_bytes = std::numeric_limits<std::uint32_t>::max();  // not known yet
  check_layout(out, where);
  check(codes, where);

  CodeClasses classes = fit_code_classes(codes, out.block_rows);
  out.distribution = classes.shape;
  out.row_gains = !codes.row_gains.empty();
  const SideInformation side = {codes.row_steps, codes.col_steps, std::move(classes.rows), std::move(classes.cols),
                                codes.row_gains};
  out.side = encode_side(side);
  out.side_bytes = out.side.size();
  out.base_step.resize(4);
  std::memcpy(out.base_step.data(), &codes.base_step, 4);

  std::vector<std::vector<std::uint8_t>> blocks(block_count(out));
  parallel_for(0, blocks.size(), [&](std::size_t block) {
    const std::size_t first = block * out.block_rows;
    const std::size_t rows = std::min(out.block_rows, out.rows - first);
    blocks[block] =
        encode_block(block_model(out, side, block), std::span(codes.codes).subspan(first * out.cols, rows * out.cols));
  });
  out.blocks.resize(8 * blocks.size());
  for (std::size_t block = 0; block < blocks.size(); ++block) {
    out.codes.insert(out.codes.end(), blocks[block].begin(), blocks[block].end());
    store_u32(out.blocks.data() + 8 * block, checked_cast<std::uint32_t>(out.codes.size(), where));
    store_u32(out.blocks.data() + 8 * block + 4, block_checksum(blocks[block]));
  }
  out.code_bytes = out.codes.size();
  return out;
}

}  // namespace lcomp
