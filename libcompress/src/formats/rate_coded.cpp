#include "lcomp/formats/rate_coded.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "formats/block_coder.h"
#include "formats/rate_coded_blocks.h"
#include "formats/side_information.h"
#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"

namespace lcomp {
namespace {

// The bytes of a part, of a weight or a view.
template <typename Weight>
auto& rate_coded_part(Weight& weight, std::string_view suffix) {
  if (suffix == ".codes") return weight.codes;
  if (suffix == ".blocks") return weight.blocks;
  if (suffix == ".base_step") return weight.base_step;
  assert(suffix == ".side");
  return weight.side;
}

void decode_codes_of_block(const RateCodedView& weight, const SideInformation& side, std::size_t block,
                           std::span<std::int32_t> codes) {
  if (!decode_block(block_model(weight, side, block), bytes_of_block(weight, block), codes)) {
    throw damaged_block(weight, block);
  }
}

// 2^(numerator / denominator), the numerator being the smaller, by Newton's method: to a few units in the last place of
// double, by sums, products and divisions alone, which are the same on every machine.
double root_of_power(int numerator, int denominator) {
  if (numerator == 0) return 1;
  const double power = static_cast<double>(1 << numerator);
  double root = 1.0 + static_cast<double>(numerator) / denominator;  // above it: the iteration falls to it
  for (int iteration = 0; iteration < 60; ++iteration) {
    double below = 1;  // root^(denominator - 1)
    for (int k = 1; k < denominator; ++k) below *= root;
    root -= (below * root - power) / (denominator * below);
  }
  return root;
}

}  // namespace

float base_step(const RateCodedView& weight) {
  float value = 0;
  std::memcpy(&value, weight.base_step.data(), sizeof value);
  return value;
}

std::shared_ptr<const SideInformation> side_of(const RateCodedView& weight, const std::string& where) {
  if (weight.decoded_side != nullptr) return weight.decoded_side;
  auto side = decode_side(weight.rows, weight.cols, weight.row_gains, weight.side);
  if (side) return std::make_shared<const SideInformation>(std::move(*side));
  throw Error({where + ".side", "bytes that no encoder writes", "steps and classes of rows and columns",
               "the file is damaged"});
}

std::uint32_t index_entry(const RateCodedView& weight, std::size_t block, std::size_t which) {
  std::uint32_t value = 0;
  std::memcpy(&value, weight.blocks.data() + 8 * block + 4 * which, sizeof value);
  return value;
}

std::size_t rows_of_block(const RateCodedLayout& layout, std::size_t block) {
  return std::min(layout.block_rows, layout.rows - block * layout.block_rows);
}

Error damaged_block(const RateCodedView& weight, std::size_t block) {
  const std::size_t first = block * weight.block_rows;
  return Error({"rate-coded weight",
                fmt::format("block {} of {} (rows {} to {}) is damaged", block, block_count(weight), first,
                            first + rows_of_block(weight, block) - 1),
                "the bytes that its checksum is of", "copy the model again"});
}

std::span<const std::uint8_t> bytes_of_block(const RateCodedView& weight, std::size_t block) {
  const std::size_t begin = block == 0 ? 0 : index_entry(weight, block - 1, 0);
  const auto bytes = weight.codes.subspan(begin, index_entry(weight, block, 0) - begin);
  if (block_checksum(bytes) != index_entry(weight, block, 1)) throw damaged_block(weight, block);
  return bytes;
}

std::uint32_t block_checksum(std::span<const std::uint8_t> bytes) {
  return static_cast<std::uint32_t>(hash64(std::as_bytes(bytes)));
}

BlockModel block_model(const RateCodedLayout& layout, const SideInformation& side, std::size_t block) {
  BlockModel model;
  model.trellis = Trellis(layout.trellis_memory);
  model.shape = layout.distribution;
  model.chain_rows = layout.chain_rows;
  model.row_classes = std::span(side.row_classes).subspan(block * layout.block_rows, rows_of_block(layout, block));
  model.col_classes = side.col_classes;
  return model;
}

std::vector<float> step_powers(int steps_per_octave) {
  std::vector<double> roots;
  for (int k = 0; k < steps_per_octave; ++k) roots.push_back(root_of_power(k, steps_per_octave));
  std::vector<float> powers;
  double octave = 1;
  for (int k = 0; k <= 510; ++k) {
    if (k > 0 && k % steps_per_octave == 0) octave *= 2;
    powers.push_back(static_cast<float>(octave * roots[static_cast<std::size_t>(k % steps_per_octave)]));
  }
  return powers;
}

void check_layout(const RateCodedLayout& layout, const std::string& where) {
  const auto refuse = [&](const std::string& found, const std::string& expected) {
    throw Error({where, found, expected, ""});
  };
  if (layout.rows == 0 || layout.cols == 0) {
    refuse(fmt::format("a rate-coded weight of {} x {}", layout.rows, layout.cols), "at least one row and column");
  }
  if (layout.steps_per_octave < 1 || layout.steps_per_octave > largest_steps_per_octave) {
    refuse(fmt::format("{} steps per octave", layout.steps_per_octave), "1 to 16");
  }
  if (!Trellis::has_memory(layout.trellis_memory)) {
    refuse(fmt::format("a trellis with a memory of {}", layout.trellis_memory), "0 or 2 to 6");
  }
  if (layout.distribution < 0 || layout.distribution >= CodeTables::shapes)
    refuse(fmt::format("shape {}", layout.distribution), "0 to 3");
  if (layout.chain_rows == 0 || layout.block_rows == 0 || layout.block_rows % layout.chain_rows != 0) {
    refuse(fmt::format("blocks of {} rows with chains of {}", layout.block_rows, layout.chain_rows),
           "blocks of one or more whole chains");
  }
  // So that a few bytes of a damaged file don't stand for more weights than memory holds.
  if (layout.cols > largest_rate_block || std::min(layout.rows, layout.block_rows) > largest_rate_block / layout.cols) {
    refuse(fmt::format("blocks of {} x {}", std::min(layout.rows, layout.block_rows), layout.cols),
           fmt::format("at most {} weights in a block", largest_rate_block));
  }
  const std::uint64_t least = checked_multiply(std::uint64_t{block_count(layout)},
                                               std::uint64_t{4 * std::min(coder_lanes, layout.cols)}, where);
  if (layout.code_bytes < least || layout.code_bytes > std::numeric_limits<std::uint32_t>::max()) {
    refuse(fmt::format("{} bytes of codes", layout.code_bytes), fmt::format("from {} bytes to 4 GiB", least));
  }
  checked_multiply(layout.rows, layout.cols, where);
}

std::size_t block_count(const RateCodedLayout& layout) { return divide_up(layout.rows, layout.block_rows); }

std::vector<PartDeclaration> declared_parts(const RateCodedLayout& layout, const std::string& where) {
  check_layout(layout, where);
  return {declare_part(".codes", DataType::u8, {checked_cast<std::size_t>(layout.code_bytes, where)}, where),
          declare_part(".blocks", DataType::u32, {block_count(layout), 2}, where),
          declare_part(".base_step", DataType::f32, {1}, where),
          declare_part(".side", DataType::u8, {checked_cast<std::size_t>(layout.side_bytes, where)}, where)};
}

RateCodedView view(const RateCodedWeight& weight) {
  return {
      static_cast<const RateCodedLayout&>(weight), weight.codes, weight.blocks, weight.base_step, weight.side, nullptr};
}

RateCodedView empty_view(const RateCodedLayout& layout) { return {layout, {}, {}, {}, {}, nullptr}; }

RateCodedWeight empty_weight(const RateCodedLayout& layout) {
  RateCodedWeight weight;
  static_cast<RateCodedLayout&>(weight) = layout;
  return weight;
}

std::span<const std::uint8_t>& part_data(RateCodedView& weight, std::string_view suffix) {
  return rate_coded_part(weight, suffix);
}
std::vector<std::uint8_t>& part_data(RateCodedWeight& weight, std::string_view suffix) {
  return rate_coded_part(weight, suffix);
}

void check_contents(const RateCodedView& weight, const std::string& where) {
  const float base = base_step(weight);
  if (!(base > 0) || !std::isfinite(base)) {
    throw Error({where + ".base_step", fmt::format("{}", base), "a positive number", "the file is damaged"});
  }
  std::uint64_t before = 0;
  for (std::size_t block = 0; block < block_count(weight); ++block) {
    const std::uint64_t end = index_entry(weight, block, 0);
    const bool is_last = block + 1 == block_count(weight);
    if (end < before || end > weight.code_bytes || (is_last && end != weight.code_bytes)) {
      throw Error(
          {where + ".blocks", fmt::format("block {} ends at {}", block, end),
           is_last ? fmt::format("{}", weight.code_bytes) : fmt::format("between {} and {}", before, weight.code_bytes),
           "the file is damaged"});
    }
    before = end;
  }
  side_of(weight, where);
}

void keep_side(RateCodedView& weight, const std::string& where) { weight.decoded_side = side_of(weight, where); }

RateCodedWeight with_row_gains(RateCodedWeight weight, std::vector<std::int16_t> gains, const std::string& where) {
  check_row_gains(gains, weight.rows, where);
  SideInformation side = *side_of(view(weight), where);
  weight.row_gains = !gains.empty();
  side.row_gains = std::move(gains);
  weight.side = encode_side(side);
  weight.side_bytes = weight.side.size();
  return weight;
}

RateCodedCodes decode_codes(const RateCodedView& weight) {
  const std::shared_ptr<const SideInformation> kept = side_of(weight, "rate-coded weight");
  const SideInformation& side = *kept;
  RateCodedCodes out;
  out.rows = weight.rows;
  out.cols = weight.cols;
  out.steps_per_octave = weight.steps_per_octave;
  out.trellis_memory = weight.trellis_memory;
  out.chain_rows = weight.chain_rows;
  out.base_step = base_step(weight);
  out.row_steps = side.row_steps;
  out.col_steps = side.col_steps;
  out.row_gains = side.row_gains;
  out.codes.resize(weight.rows * weight.cols);
  parallel_for(0, block_count(weight), [&](std::size_t block) {
    decode_codes_of_block(weight, side, block,
                          std::span(out.codes).subspan(block * weight.block_rows * weight.cols,
                                                       rows_of_block(weight, block) * weight.cols));
  });
  return out;
}

CodeBits code_bits(const RateCodedView& weight) {
  const std::shared_ptr<const SideInformation> kept = side_of(weight, "rate-coded weight");
  const SideInformation& side = *kept;
  CodeBits out;
  out.rows.assign(weight.rows, 0.0);
  out.cols.assign(weight.cols, 0.0);
  std::vector<std::int32_t> codes;
  for (std::size_t block = 0; block < block_count(weight); ++block) {
    const std::size_t rows = rows_of_block(weight, block);
    codes.resize(rows * weight.cols);
    decode_codes_of_block(weight, side, block, codes);
    add_code_bits(block_model(weight, side, block), codes, std::span(out.rows).subspan(block * weight.block_rows, rows),
                  out.cols);
  }
  return out;
}

double ideal_code_bits(const RateCodedView& weight) {
  const std::shared_ptr<const SideInformation> kept = side_of(weight, "rate-coded weight");
  const SideInformation& side = *kept;
  const Trellis trellis(weight.trellis_memory);
  std::map<std::pair<int, int>, std::map<std::int32_t, std::uint64_t>> counts;  // by class and parity
  const RateCodedCodes codes = decode_codes(weight);
  std::vector<std::uint32_t> states(weight.cols, 0);
  for (std::size_t i = 0; i < weight.rows; ++i) {
    if (i % weight.block_rows % weight.chain_rows == 0) std::fill(states.begin(), states.end(), 0u);
    for (std::size_t j = 0; j < weight.cols; ++j) {
      const std::int32_t code = codes.codes[i * weight.cols + j];
      ++counts[{side.row_classes[i] + side.col_classes[j], static_cast<int>(states[j] & 1u)}][code];
      states[j] = trellis.next(states[j], code);
    }
  }
  double bits = 0;
  for (const auto& entry : counts) {
    double total = 0;
    for (const auto& code : entry.second) total += static_cast<double>(code.second);
    for (const auto& code : entry.second) {
      bits -= static_cast<double>(code.second) * std::log2(static_cast<double>(code.second) / total);
    }
  }
  return bits;
}

}  // namespace lcomp
